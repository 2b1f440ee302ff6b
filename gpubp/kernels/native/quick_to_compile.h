// What g++ -O3 spends a quarter of its time on, for kernels whose loops are vectors already: measured, it gains nothing.
#pragma once
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC optimize("no-unswitch-loops", "no-tree-vectorize", "no-tree-slp-vectorize")
#endif
