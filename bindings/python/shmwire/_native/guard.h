/* SPDX-License-Identifier: MIT
 *
 * Surviving a mapping that somebody truncates, for programs (the driver), never for the library itself.
 *
 * A Python signal handler cannot help: it runs between two byte codes, and the access that faulted is started again first.
 * So the handler is C and repairs the cause: it puts a page of zeros where the file's page used to be, counts, and lets the
 * access go on. The program compares the count before and after each request and answers TRUNCATED when it has grown; what
 * was read in between is thrown away. mmap is not on POSIX's list of async-signal-safe functions, but on Linux it is a bare
 * system call, and SIGBUS of this kind is synchronous: it interrupts the very access that failed, nothing else.
 */
#ifndef SHMWPY_GUARD_H
#define SHMWPY_GUARD_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t shmwpy_guard_count;
static uintptr_t shmwpy_guard_page_size;

static void shmwpy_guard_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    const int cause = errno;
    void *page = (void *)((uintptr_t)info->si_addr & ~(shmwpy_guard_page_size - 1));
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (info->si_code == BUS_ADRERR && mmap(page, shmwpy_guard_page_size, protection, flags, -1, 0) == page)
        shmwpy_guard_count++;
    else
        signal(number, SIG_DFL); /* something else is wrong: die of it on return */
    errno = cause;
}

/* Install the handler for the whole process. 0, or errno. */
static int shmwpy_guard_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = shmwpy_guard_handler;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    shmwpy_guard_page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : errno;
}

/* Pages replaced so far. */
static int shmwpy_guard_hits(void)
{
    return (int)shmwpy_guard_count;
}

#endif
