// Kernels for tests/backends/test_cuda_shim.py: what a block may do, and what it must not.

// out[b] = the sum of the block's 64 inputs, by a tree in shared memory
extern "C" __global__ void __launch_bounds__(64) sum_blocks(const float* x, float* out) {
  __shared__ float partial[64];
  int t = threadIdx.x;
  partial[t] = x[blockIdx.x * blockDim.x + t];
  for (int half = 32; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) partial[t] += partial[t + half];
  }
  if (t == 0) out[blockIdx.x] = partial[0];
}
// the same by shuffles within the warps and dynamic shared memory between them
extern "C" __global__ void sum_by_shuffles(const float* x, float* out) {
  extern __shared__ float of_warp[];
  int t = threadIdx.x;
  float sum = x[blockIdx.x * blockDim.x + t];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffff, sum, by);
  if (t % warpSize == 0) of_warp[t / warpSize] = sum;
  __syncthreads();
  if (t == 0) {
    out[blockIdx.x] = 0;
    for (unsigned w = 0; w < blockDim.x / warpSize; w++) out[blockIdx.x] += of_warp[w];
  }
}
extern "C" __global__ void neighbours(const double* x, double* out) {
  int t = threadIdx.x;
  out[t] = __shfl_down_sync(0xffffffff, x[t], 1) + __shfl_up_sync(0xffffffff, x[t], 1) +
           __shfl_sync(0xffffffff, x[t], 3);
}
// where each thread stands, in three dimensions
extern "C" __global__ void places(int* out) {
  int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] = 1000 * block + thread;
}
extern "C" __global__ void arithmetic(const float* x, float* out) {
  out[0] = x[0] * x[1] + x[2];
  out[1] = __fmaf_rn(x[0], x[1], x[2]);
  out[2] = x[3] * 0.5f;
  atomicAdd(out + 3, x[3]);
}
extern "C" __global__ void scalars(double* out, int a, long long b, unsigned c, float d, double e, bool f) {
  out[0] = a, out[1] = b, out[2] = c, out[3] = d, out[4] = e, out[5] = f;
}
extern "C" __global__ void is_null(const float* p, int* out) { out[0] = p == nullptr; }
extern "C" __global__ void uninitialised(float* out) {
  __shared__ float fixed[4];
  extern __shared__ float chosen[];
  out[0] = fixed[threadIdx.x], out[1] = chosen[threadIdx.x];
  __syncthreads();
  fixed[threadIdx.x] = chosen[threadIdx.x] = 1;  // the next block must not see it
}

// ------------------------------------------------------------------------------------ defects
extern "C" __global__ void race(int* out) { out[0] = blockIdx.x * blockDim.x + threadIdx.x; }
// every thread takes the same memory for its own
extern "C" __global__ void private_in_shared_memory(int* memory, int* out) {
  *memory = threadIdx.x;
  __ldg(memory);
  out[threadIdx.x] = *memory;
}
extern "C" __global__ void missing_barrier(float* out) {
  __shared__ float given[64];
  int t = threadIdx.x;
  given[t] = t;
  out[t] = given[63 - t];
}
extern "C" __global__ void returns_before_a_barrier(int n) {
  if ((int)threadIdx.x >= n) return;
  __syncthreads();
}
extern "C" __global__ void two_barriers(int n) {
  if ((int)threadIdx.x < n) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
extern "C" __global__ void lane_that_never_comes(int n) {
  if ((int)threadIdx.x < n) __syncwarp();
}
extern "C" __global__ void reads_a_lane_that_takes_no_part(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffff, out[threadIdx.x], 20);
}
