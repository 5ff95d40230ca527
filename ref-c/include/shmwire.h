/* SPDX-License-Identifier: MIT
 *
 * shmwire: what all profiles share. Profiles have their own headers, shmwire/PROFILE.h.
 *
 * Results and errors. A function that can fail returns int: an answer >= 0 (SHMW_OK, SHMW_EMPTY, SHMW_FULL, ...) or an
 * error < 0 (SHMW_BAD_MAGIC, ...); shmwire/errors.h lists them all. SHMW_SYSTEM leaves the cause in errno.
 *
 * Names. A locator is either a POSIX shared-memory name ("/queue" or "queue": no slash but a leading one; 1 to 254
 * further bytes, not "." or "..") or, when it holds any other slash ("./queue.bin", "/tmp/queue"), the path of a regular
 * file. Anything else is SHMW_INVALID_NAME.
 *
 * Threads and processes. Handles may be used by any number of threads at once, except that close must be the last call; those of
 * shmwire/shmcomm.h by one at a time. The library prints nothing and never exits. After fork() the child may go on with its
 * parent's handles: the mapping is shared, and the process id that messages carry is looked up anew. Endpoints of
 * shmwire/shmcomm.h that write are the exception: a child has none of them. For that the library keeps its one piece of global
 * state, a list of their descriptors and a mutex (pthread_atfork), which fork() takes; a child made by other means (clone,
 * _Fork) has to close them itself.
 *
 * Truncation. A segment that someone shortens under a mapping raises SIGBUS on access, as every mapping does. The library
 * installs no handlers; programs that look into foreign segments use shmw_guarded_copy or a handler of their own.
 */
#ifndef SHMWIRE_H
#define SHMWIRE_H

#include <stddef.h>
#include <stdint.h>

#include "shmwire/errors.h"

#if defined(__GNUC__)
#define SHMW_API __attribute__((visibility("default")))
#else
#define SHMW_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SHMW_VERSION_STRING "0.1.0"

/* Time limits are in nanoseconds: 0 = do not wait, SHMW_FOREVER = no limit. */
#define SHMW_FOREVER UINT64_MAX

/* Version of the library as built, such as "0.1.0". Static storage. */
SHMW_API const char *shmw_version(void);

/* One line of plain English for a result or error; "unknown code" for anything else. Static storage. */
SHMW_API const char *shmw_strerror(int code);

/* Name of a result or error, such as "BAD_MAGIC"; "UNKNOWN" for anything else. Static storage. */
SHMW_API const char *shmw_error_name(int code);

/* Remove a segment's name. Those who have it mapped keep it. SHMW_NOT_FOUND, SHMW_INVALID_NAME, SHMW_PERMISSION. */
SHMW_API int shmw_unlink(const char *locator);

/* Write the file path behind a locator ("/queue" -> "/dev/shm/queue") to path, NUL included.
 * SHMW_INVALID_NAME; SHMW_TOO_SMALL when size bytes do not suffice. */
SHMW_API int shmw_path(const char *locator, char *path, size_t size);

/* Copy len bytes out of a mapping that may have been truncated: SHMW_OK, or SHMW_TRUNCATED instead of SIGBUS.
 * Goes through the kernel (process_vm_readv), so it is slow; safe in any thread, installs nothing. */
SHMW_API int shmw_guarded_copy(void *to, const void *from, size_t len);

#ifdef __cplusplus
}
#endif

#endif
