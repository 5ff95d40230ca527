# SPDX-License-Identifier: MIT
"""The two extension modules, described for cffi (API mode).

`_ext_atomic` holds the atomic primitives that the python engine needs to take part in a live segment, and the SIGBUS guard
of the driver; it contains nothing of the C implementation. `_ext_refc` holds the C implementation, compiled in from its
sources, and the thin calls of the native engine.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"]

ATOMIC_CDEF = """
uint32_t shmwpy_load_u32(const char *base, size_t offset, int order);
uint64_t shmwpy_load_u64(const char *base, size_t offset, int order);
void shmwpy_store_u32(char *base, size_t offset, uint32_t value, int order);
void shmwpy_store_u64(char *base, size_t offset, uint64_t value, int order);
uint64_t shmwpy_cas_u64(char *base, size_t offset, uint64_t expected, uint64_t desired);
uint32_t shmwpy_add_u32(char *base, size_t offset, uint32_t delta);
void shmwpy_fence(int order);
int shmwpy_futex_wait(const char *base, size_t offset, uint32_t value, uint64_t timeout_ns);
int shmwpy_futex_wake(const char *base, size_t offset, uint64_t count);
int shmwpy_guard_install(void);
int shmwpy_guard_hits(void);
"""


def atomic_builder() -> FFI:
    builder = FFI()
    builder.cdef(ATOMIC_CDEF)
    builder.set_source("shmwire._native._ext_atomic", '#include "atomic.h"\n#include "guard.h"\n',
                       include_dirs=[str(HERE)], extra_compile_args=FLAGS)
    return builder


atomic = atomic_builder()
