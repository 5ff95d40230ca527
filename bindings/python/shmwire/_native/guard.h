/* SPDX-License-Identifier: MIT
 *
 * Surviving a mapping that somebody truncates, for programs (the driver), never for the library itself.
 *
 * A Python signal handler cannot help: it runs between two byte codes, and the access that faulted is started again first;
 * nor can the handler jump out of the middle of the interpreter. So it cuts the process off from the segment: zeros of our
 * own take the place of the whole mapping, and the access goes on. No later store reaches the segment, so the others see
 * what they would see had the process died at the fault; and what is read is as good as a removed channel. The program
 * compares the count before and after each request, and throws away what came of one during which it grew.
 *
 * mmap is not on POSIX's list of async-signal-safe functions, but on Linux it is a bare system call; open, read and close are.
 * SIGBUS of this kind is synchronous: it interrupts the very access that failed, nothing else.
 */
#ifndef SHMWPY_GUARD_H
#define SHMWPY_GUARD_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t shmwpy_guard_count;

/* Reading /proc/self/maps, "start-end rest of the line", one character at a time. */
struct shmwpy_guard_line {
    uintptr_t start;
    uintptr_t end;
    enum { SHMWPY_START, SHMWPY_END, SHMWPY_REST } part;
};

static uintptr_t shmwpy_guard_digit(char c)
{
    return c <= '9' ? (uintptr_t)(c - '0') : (uintptr_t)(c - 'a' + 10);
}

/* Nonzero once the line's two numbers are complete and hold `at`. */
static int shmwpy_guard_feed(struct shmwpy_guard_line *line, char c, uintptr_t at)
{
    if (c == '\n') {
        *line = (struct shmwpy_guard_line){0, 0, SHMWPY_START};
    } else if (line->part == SHMWPY_START && c == '-') {
        line->part = SHMWPY_END;
    } else if (line->part == SHMWPY_START) {
        line->start = line->start << 4 | shmwpy_guard_digit(c);
    } else if (line->part == SHMWPY_END && c == ' ') {
        line->part = SHMWPY_REST;
        return line->start <= at && at < line->end;
    } else if (line->part == SHMWPY_END) {
        line->end = line->end << 4 | shmwpy_guard_digit(c);
    }
    return 0;
}

/* The mapping that holds an address. */
static int shmwpy_guard_find(uintptr_t at, struct shmwpy_guard_line *line)
{
    char text[1024];
    int found = 0;
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    *line = (struct shmwpy_guard_line){0, 0, SHMWPY_START};
    for (ssize_t n = maps < 0 ? 0 : read(maps, text, sizeof(text)); n > 0 && !found; n = found ? 0 : read(maps, text, sizeof(text)))
        for (ssize_t i = 0; i < n && !found; i++)
            found = shmwpy_guard_feed(line, text[i], at);
    if (maps >= 0)
        close(maps);
    return found;
}

static void shmwpy_guard_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    const int cause = errno;
    struct shmwpy_guard_line line;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (info->si_code == BUS_ADRERR && shmwpy_guard_find((uintptr_t)info->si_addr, &line) &&
        mmap((void *)line.start, line.end - line.start, PROT_READ | PROT_WRITE, flags, -1, 0) == (void *)line.start)
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
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : errno;
}

/* Mappings cut off so far. */
static int shmwpy_guard_hits(void)
{
    return (int)shmwpy_guard_count;
}

#endif
