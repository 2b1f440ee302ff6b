// Runs CUDA kernels on a CPU, to prove their logic: include it before the kernels, call cuda_on_cpu::launch.
//
// One block at a time, one fiber for each of its threads; in a cooperative launch all blocks, which take turns.
// __syncthreads is a true barrier: all threads of the block arrive at the same one, or the launch fails (on a device it
// would hang, or worse). So do warp operations for the lanes that their mask names. Shared memory is poison when a
// block begins. The order of threads and of blocks is $CUDA_ON_CPU_ORDER: 0 ascending, 1 descending, any other number
// the seed of a permutation, in which threads also take turns at every __ldg (else a thread runs until it waits). A
// kernel whose result depends on it has a race.
//
// nvrtc.py defines CUDA_ON_CPU_FTZ for NVRTC's --ftz=true: denormal floats count as zero.
#pragma once
#include "cuda_intrinsics.h"

// C's headers only: reading C++'s takes longer than compiling most kernels.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__) && defined(__ELF__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_FAST_SWITCH 1
#else
#define CUDA_ON_CPU_FAST_SWITCH 0
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __launch_bounds__(...)
#define warpSize 32
#define __align__(bytes) __attribute__((aligned(bytes)))
#ifdef __ELF__  // one block runs at a time, so `static` is "of the block"; the section can be poisoned and put aside
#define __shared__ static __attribute__((section("cuda_shared"), used))
extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
#else
#define __shared__ static
#endif
// `extern __shared__ type name[];` is rewritten to this by nvrtc.py
#define CUDA_ON_CPU_DYNAMIC_SHARED(type, name) type* name = (type*)cuda_on_cpu::dynamic_shared.at

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static dim3 gridDim, blockDim, blockIdx;
#define threadIdx (cuda_on_cpu::current->index)

namespace cuda_on_cpu {

template <class T> static void exchange(T& one, T& other) {
  T first = one;
  one = other, other = first;
}
template <class T> struct Array {  // of plain data; ends where it ends, for AddressSanitizer; lives until it is emptied
  T* at = nullptr;
  size_t size = 0;
  void resize(size_t n) {
    if (n == size) return;
    if (n) at = (T*)realloc((void*)at, n * sizeof(T));
    else free((void*)at), at = nullptr;
    if (n && !at) abort();
    size = n;
  }
  T& operator[](size_t i) const { return at[i]; }
  T* begin() const { return at; }
  T* end() const { return at + size; }
};

// -------------------------------------------------------------------------------------------- fibers
constexpr size_t STACK = 512 << 10, GUARD = 64 << 10;  // address space, used only as far as a kernel's stack goes
#define STACK_BOTTOM(fiber) ((fiber).memory + GUARD)

struct Site {  // of a barrier or a warp operation
  const char* file;
  int line;
  bool operator==(const Site& other) const { return line == other.line && !strcmp(file, other.file); }
};
enum State { READY, AT_BARRIER, AT_WARP, DONE };
struct Fiber {
  char* memory = nullptr;  // an unmapped guard, then the stack, which grows down towards it
  dim3 index{0, 0, 0};
  State state = READY;
  Site site{"", 0};
  unsigned mask = 0;   // of the warp operation it waits at
  uint64_t given = 0;  // to that operation
#if CUDA_ON_CPU_FAST_SWITCH
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
};
static Array<Fiber> fibers;  // the block's threads, x fastest
static Fiber* current;
typedef void (*Body)(void (*kernel)(), void** arguments);  // calls the kernel, which it knows the type of
static Body body;
static void (*kernel_at_hand)();
static void** its_arguments;
static Array<char> dynamic_shared;
static char failure[512];  // empty: none
static bool taking_turns;
static void thread_main();

// The scheduler calls resume; a fiber calls suspend. Nothing is unwound: kernels have no destructors that matter.
#ifdef __SANITIZE_ADDRESS__
static const void* host_stack;
static size_t host_stack_size;
#define BEFORE_SWITCH(bottom, size) \
  void* fake_stack = nullptr; \
  __sanitizer_start_switch_fiber(&fake_stack, bottom, size)
#define AFTER_SWITCH() __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr)
#define FORGET_FRAMES(fiber) __asan_unpoison_memory_region(STACK_BOTTOM(fiber), STACK)
#define FIBER_BEGINS() __sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_stack_size)
#else
static const void* host_stack;
static size_t host_stack_size;
#define BEFORE_SWITCH(bottom, size) (void)0
#define AFTER_SWITCH() (void)0
#define FORGET_FRAMES(fiber) (void)0
#define FIBER_BEGINS() (void)0
#endif

#if CUDA_ON_CPU_FAST_SWITCH
static void* scheduler;  // its stack pointer
extern "C" void cuda_on_cpu_switch(void** save, void* to);  // callee-saved registers only: 30 times swapcontext
asm(R"(
.pushsection .text
.local cuda_on_cpu_switch
.type cuda_on_cpu_switch,@function
cuda_on_cpu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size cuda_on_cpu_switch,.-cuda_on_cpu_switch
.popsection
)");
static void prepare(Fiber& fiber) {
  void** top = (void**)(STACK_BOTTOM(fiber) + STACK);
  *--top = nullptr;               // keeps the stack 16-byte aligned where thread_main begins
  *--top = (void*)thread_main;    // where cuda_on_cpu_switch returns to
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.stack_pointer = top;
}
static void resume(Fiber& fiber) {
  BEFORE_SWITCH(STACK_BOTTOM(fiber), STACK);
  cuda_on_cpu_switch(&scheduler, fiber.stack_pointer);
  AFTER_SWITCH();
}
static void suspend() {
  BEFORE_SWITCH(host_stack, host_stack_size);
  cuda_on_cpu_switch(&current->stack_pointer, scheduler);
  AFTER_SWITCH();
}
#else
static ucontext_t scheduler;
static void prepare(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = STACK_BOTTOM(fiber);
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, thread_main, 0);
}
static void resume(Fiber& fiber) {
  BEFORE_SWITCH(STACK_BOTTOM(fiber), STACK);
  swapcontext(&scheduler, &fiber.context);
  AFTER_SWITCH();
}
static void suspend() {
  BEFORE_SWITCH(host_stack, host_stack_size);
  swapcontext(&current->context, &scheduler);
  AFTER_SWITCH();
}
#endif

static void thread_main() {
  FIBER_BEGINS();
  body(kernel_at_hand, its_arguments);
  current->state = DONE;
  suspend();
  abort();  // a thread that is done is not resumed
}
static void wait_at(State state, Site site, unsigned mask = 0) {
  current->state = state, current->site = site, current->mask = mask;
  suspend();
}
static void fail(const Fiber& fiber, const char* what) {  // the first reason is the one that is told
  if (*failure) return;
  snprintf(failure, sizeof failure, "%s (block %u,%u,%u, thread %u,%u,%u, %s:%d)", what, blockIdx.x, blockIdx.y,
           blockIdx.z, fiber.index.x, fiber.index.y, fiber.index.z, fiber.site.file, fiber.site.line);
}

// -------------------------------------------------------------------------------------------- order
static Array<unsigned> ordered(unsigned n, uint64_t seed) {
  Array<unsigned> order;
  order.resize(n);
  for (unsigned i = 0; i < n; i++) order[i] = seed == 1 ? n - 1 - i : i;
  if (seed > 1) for (unsigned i = n; i > 1; i--) {  // Fisher-Yates
      seed = seed * 6364136223846793005ull + 1442695040888963407ull;
      exchange(order[i - 1], order[(seed >> 33) % i]);
    }
  return order;
}

// -------------------------------------------------------------------------------------------- one block
static void release_warps(bool& released) {
  for (size_t first = 0; first < fibers.size; first += 32) {
    unsigned wanted = 0, here = 0;
    const Fiber* one = nullptr;
    for (size_t lane = 0; lane < 32 && first + lane < fibers.size; lane++) {
      const Fiber& fiber = fibers[first + lane];
      if (fiber.state != AT_WARP) continue;
      if (one && !(one->site == fiber.site)) return fail(fiber, "a warp operation is reached from two places at once");
      one = &fiber, wanted |= fiber.mask, here |= 1u << lane;
    }
    if (!here || (wanted & ~here)) continue;
    for (size_t lane = 0; lane < 32 && first + lane < fibers.size; lane++)
      if (fibers[first + lane].state == AT_WARP) fibers[first + lane].state = READY;
    released = true;
  }
}
static void release_barrier() {  // nothing runs any more: all are at one barrier, or something is wrong
  const Fiber *waiting = nullptr, *done = nullptr;
  for (Fiber& fiber : fibers) {
    if (fiber.state == AT_WARP) return fail(fiber, "a warp operation names a lane that never arrives");
    if (fiber.state == DONE) done = &fiber;
    if (fiber.state != AT_BARRIER) continue;
    if (waiting && !(waiting->site == fiber.site))
      return fail(fiber, "__syncthreads is reached from two places at once");
    waiting = &fiber;
  }
  if (waiting && done) return fail(*waiting, "__syncthreads waits for a thread that has returned");
  for (Fiber& fiber : fibers) if (fiber.state == AT_BARRIER) fiber.state = READY;
}
static void begin_block(unsigned index, size_t shared_bytes) {
  blockIdx = dim3(index % gridDim.x, index / gridDim.x % gridDim.y, index / (gridDim.x * gridDim.y));
  dynamic_shared.resize(shared_bytes);
  if (shared_bytes) memset(dynamic_shared.at, 0xff, shared_bytes);
#ifdef __ELF__
  if (__start_cuda_shared) memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);
#endif
  for (Fiber& fiber : fibers) {
    FORGET_FRAMES(fiber);  // those of the thread that it was before
    fiber.state = READY, prepare(fiber);
  }
}
// Each thread of the block that can runs until it waits. Returns whether any thread is not done.
static bool run_round(const Array<unsigned>& order) {
  for (unsigned i : order) {
    if (fibers[i].state != READY) continue;
    current = &fibers[i];
    resume(*current);
    if (*failure) return false;
  }
  bool running = false, done = true;
  for (const Fiber& fiber : fibers) running |= fiber.state == READY, done &= fiber.state == DONE;
  release_warps(running);
  if (!running && !*failure && !done) release_barrier();
  return !done && !*failure;
}

// What belongs to a block, put aside while another one runs.
struct Aside {
  Array<Fiber> its_fibers;
  Array<char> its_shared, its_dynamic;
  dim3 index;
  void take_turns() {
    exchange(its_fibers, fibers), exchange(its_dynamic, dynamic_shared), exchange(index, blockIdx);
    for (size_t i = 0; i < its_shared.size; i++) exchange(its_shared[i], __start_cuda_shared[i]);
  }
};

// -------------------------------------------------------------------------------------------- a launch
static void make_fibers(size_t n) {
  while (fibers.size > n) munmap(fibers[fibers.size - 1].memory, GUARD + STACK), fibers.resize(fibers.size - 1);
  while (fibers.size < n) {
    Fiber fiber;
    fiber.memory = (char*)mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (fiber.memory == MAP_FAILED || mprotect(fiber.memory, GUARD, PROT_NONE)) abort();
    fibers.resize(fibers.size + 1);
    fibers[fibers.size - 1] = fiber;
  }
}
struct FlushDenormals {  // while it lives, where the kernel was compiled so
#ifdef CUDA_ON_CPU_FTZ
  unsigned before = __builtin_ia32_stmxcsr();
  FlushDenormals() { __builtin_ia32_ldmxcsr(before | 0x8040); }  // results and operands
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(before); }
#else
  FlushDenormals() {}
#endif
};

static void number_fibers(dim3 block) {
  for (unsigned t = 0; t < fibers.size; t++)
    fibers[t].index = dim3(t % block.x, t / block.x % block.y, t / (block.x * block.y));
}
// All blocks at once: each in turn for a round.
static void run_together(const Array<unsigned>& blocks, const Array<unsigned>& threads, size_t shared_bytes) {
  Array<Aside> aside;
  aside.resize(blocks.size);
  for (unsigned b : blocks) {
    aside[b] = Aside();
    make_fibers(threads.size);
    number_fibers(blockDim);
#ifdef __ELF__
    if (__start_cuda_shared) aside[b].its_shared.resize(__stop_cuda_shared - __start_cuda_shared);
#endif
    begin_block(b, shared_bytes);
    aside[b].take_turns();
  }
  for (bool running = true; running && !*failure;) {
    running = false;
    for (unsigned b : blocks) {
      aside[b].take_turns();
      running |= run_round(threads);
      aside[b].take_turns();
      if (*failure) break;
    }
  }
  for (Aside& block : aside) {
    block.take_turns(), make_fibers(0), dynamic_shared.resize(0);
    free(fibers.at), free(dynamic_shared.at), free(block.its_shared.at);
    fibers = {}, dynamic_shared = {};
  }
  free(aside.at);
}

// Runs the kernel; returns what went wrong, or null. The text lives till the next.
static const char* launch(dim3 grid, dim3 block, size_t shared_bytes, bool together, Body call, void (*kernel)(),
                          void** arguments) {
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  const char* chosen = getenv("CUDA_ON_CPU_ORDER");
  uint64_t seed = chosen ? strtoull(chosen, nullptr, 10) : 0;
  *failure = 0;
  taking_turns = seed > 1;
  body = call, kernel_at_hand = kernel, its_arguments = arguments;
  gridDim = grid, blockDim = block;
  Array<unsigned> threads = ordered(block.x * block.y * block.z, seed);
  Array<unsigned> blocks = ordered(grid.x * grid.y * grid.z, seed);
  FlushDenormals flushing;
  if (together) run_together(blocks, threads, shared_bytes);
  else {
    make_fibers(threads.size);
    number_fibers(block);
    for (unsigned b : blocks) {
      begin_block(b, shared_bytes);
      while (run_round(threads)) {}
      if (*failure) break;
    }
  }
  free(threads.at), free(blocks.at);
  pthread_mutex_unlock(&one_at_a_time);
  return *failure ? failure : nullptr;
}

// -------------------------------------------------------------------------------------------- warps
static int own_lane() { return (int)((current - fibers.at) & 31); }
static unsigned lanes_of_warp() {  // the last warp of a block may be short
  size_t rest = fibers.size - ((current - fibers.at) & ~(size_t)31);
  return rest >= 32 ? ~0u : (1u << rest) - 1;
}
static void stop(Site site, const char* what) {
  current->site = site;
  fail(*current, what);
  suspend();
}
struct SyncWarp {
  Site site;
  void operator()(unsigned mask = ~0u) const { wait_at(AT_WARP, site, mask & lanes_of_warp()); }
};
template <class T> static T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 32 and 64 bits");
  if (!(mask >> own_lane() & 1)) stop(site, "a shuffle's mask does not name its caller");
  memcpy(&current->given, &value, sizeof value);
  mask &= lanes_of_warp();
  wait_at(AT_WARP, site, mask);
  if (source >= 0 && source < 32) {
    if (!(mask >> source & 1)) stop(site, "a shuffle reads a lane that takes no part");
    memcpy(&value, &fibers[(current - fibers.at) - own_lane() + source].given, sizeof value);
  }
  wait_at(AT_WARP, {site.file, -site.line}, mask);  // no one gives the next value before all have read this one
  return value;
}

// -------------------------------------------------------------------------------------------- reads
template <class T> static T read(const T* at) {
  if (taking_turns) suspend();  // still READY
  return *at;
}

static inline void give_way() { suspend(); }  // still READY

// -------------------------------------------------------------------------------------------- a kernel's parameters
struct Parameter {
  char kind;  // 'p' pointer, 'f' floating, 'i' signed, 'u' unsigned, 'b' bool, '?' anything else
  int size;
  char pointee;  // the same, of what it points to
  int pointee_size;
};
template <class T> struct Kind { static constexpr char value = '?'; };
template <class T> struct Kind<const T> : Kind<T> {};
template <> struct Kind<bool> { static constexpr char value = 'b'; };
#define CUDA_ON_CPU_KIND(type, letter) template <> struct Kind<type> { static constexpr char value = letter; }
CUDA_ON_CPU_KIND(float, 'f');
CUDA_ON_CPU_KIND(double, 'f');
CUDA_ON_CPU_KIND(char, (char)-1 < 0 ? 'i' : 'u');
CUDA_ON_CPU_KIND(signed char, 'i');
CUDA_ON_CPU_KIND(short, 'i');
CUDA_ON_CPU_KIND(int, 'i');
CUDA_ON_CPU_KIND(long, 'i');
CUDA_ON_CPU_KIND(long long, 'i');
CUDA_ON_CPU_KIND(unsigned char, 'u');
CUDA_ON_CPU_KIND(unsigned short, 'u');
CUDA_ON_CPU_KIND(unsigned, 'u');
CUDA_ON_CPU_KIND(unsigned long, 'u');
CUDA_ON_CPU_KIND(unsigned long long, 'u');
template <class T> struct Described { static constexpr Parameter value{Kind<T>::value, (int)sizeof(T), '?', 0}; };
template <class T> struct Described<T*> {
  static constexpr Parameter value{'p', (int)sizeof(T*), Kind<T>::value, (int)sizeof(T)};
};
template <class T> struct Described<T* const> : Described<T*> {};
template <class... A> int describe(void (*)(A...), Parameter* out) {
  ((*out++ = Described<A>::value), ...);
  return sizeof...(A);
}
template <class... A> void call(void (*kernel)(), void** arguments) {
  // in braces: from left to right
  struct Call {
    Call(void (*kernel)(A...), A... values) { kernel(values...); }
  } made{(void (*)(A...))kernel, *(A*)*arguments++...};
  (void)made;
}
template <class... A>
const char* launch_with(void (*kernel)(A...), const unsigned* d, size_t shared, bool together, void** arguments) {
  return launch({d[0], d[1], d[2]}, {d[3], d[4], d[5]}, shared, together, call<A...>, (void (*)())kernel, arguments);
}
}  // namespace cuda_on_cpu

// How Python finds a kernel: its parameters, its launch bounds (0: none), and a launch.
#define CUDA_ON_CPU_EXPORT(kernel, bounds) \
  extern "C" int describe_##kernel(cuda_on_cpu::Parameter* out) { return cuda_on_cpu::describe(kernel, out); } \
  extern "C" int bounds_##kernel() { return bounds; } \
  extern "C" const char* launch_##kernel(const unsigned* dimensions, size_t shared, bool together, void** arguments) { \
    return cuda_on_cpu::launch_with(kernel, dimensions, shared, together, arguments); \
  }

#define __ldg cuda_on_cpu::read
#define CUDA_ON_CPU_HERE (cuda_on_cpu::Site{__FILE__, __LINE__})
#define __syncthreads() cuda_on_cpu::wait_at(cuda_on_cpu::AT_BARRIER, CUDA_ON_CPU_HERE)
#define __syncwarp cuda_on_cpu::SyncWarp{CUDA_ON_CPU_HERE}
#define __shfl_sync(mask, value, lane) cuda_on_cpu::shuffle(mask, value, (lane) & 31, CUDA_ON_CPU_HERE)
#define __shfl_xor_sync(mask, value, bits) \
  cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::own_lane() ^ (bits), CUDA_ON_CPU_HERE)
#define __shfl_down_sync(mask, value, by) \
  cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::own_lane() + (by), CUDA_ON_CPU_HERE)
#define __shfl_up_sync(mask, value, by) \
  cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::own_lane() - (by), CUDA_ON_CPU_HERE)
static inline void __threadfence() {}
#define __nanosleep(nanoseconds) cuda_on_cpu::give_way()
static inline void __threadfence_block() {}
// One fiber runs at a time and gives way only where it waits, so this is atomic.
template <class T> static inline T atomicAdd(T* at, T value) {
  T before = *at;
  *at = before + value;
  return before;
}
