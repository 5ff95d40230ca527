/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shmwire.h"

#define MOST_NAMES 64
#define NAME_SIZE 64

static char names[MOST_NAMES][NAME_SIZE];
static unsigned names_used;
static pid_t owner;

/* Names ------------------------------------------------------------------------------------------------------------ */

static void drop_names(void)
{
    if (getpid() != owner)
        return; /* a child: its parent's names */
    for (unsigned i = 0; i < names_used; i++)
        shmw_unlink(names[i]);
    names_used = 0;
}

const char *fresh_name(void)
{
    static unsigned serial;
    CHECK(names_used < MOST_NAMES);
    char *name = names[names_used++];
    snprintf(name, NAME_SIZE, "/shmw-refc-%d-%u", (int)getpid(), serial++);
    return name;
}

/* Expectations ----------------------------------------------------------------------------------------------------- */

static _Noreturn void give_up(void)
{
    drop_names();
    fflush(NULL);
    _exit(1);
}

void check_true(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, text);
    give_up();
}

void check_code(int got, int want, const char *text, const char *file, int line)
{
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s\n    gave %s, expected %s\n", file, line, text, shmw_error_name(got), shmw_error_name(want));
    give_up();
}

void check_u64(uint64_t got, uint64_t want, const char *text, const char *file, int line)
{
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s is %" PRIu64 ", expected %" PRIu64 "\n", file, line, text, got, want);
    give_up();
}

void check_bytes(const void *got, const void *want, size_t size, const char *text, const char *file, int line)
{
    const unsigned char *a = got;
    const unsigned char *b = want;
    for (size_t i = 0; i < size; i++) {
        if (a[i] == b[i])
            continue;
        fprintf(stderr, "%s:%d: byte %zu of %s is %02x, expected %02x\n", file, line, i, text, a[i], b[i]);
        give_up();
    }
}

int check_answer(int got, unsigned allowed, const char *text, const char *file, int line)
{
    if (got >= SHMW_SYSTEM && got <= SHMW_CLOSED && (BIT(got) & allowed) != 0)
        return got;
    fprintf(stderr, "%s:%d: %s\n    gave %s, which is none of its answers\n", file, line, text, shmw_error_name(got));
    give_up();
}

uint64_t draw(uint64_t *state, uint64_t bound)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % bound;
}

/* Raw bytes -------------------------------------------------------------------------------------------------------- */

struct raw raw_open(const char *locator)
{
    char path[512];
    CHECK_CODE(shmw_path(locator, path, sizeof(path)), SHMW_OK);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    struct raw raw = {.size = (size_t)status.st_size};
    raw.bytes = mmap(NULL, raw.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(raw.bytes != MAP_FAILED);
    close(fd);
    return raw;
}

void raw_close(struct raw *raw)
{
    munmap(raw->bytes, raw->size);
    raw->bytes = NULL;
}

unsigned char *raw_copy(const struct raw *raw)
{
    unsigned char *copy = malloc(raw->size);
    CHECK(copy != NULL);
    memcpy(copy, raw->bytes, raw->size);
    return copy;
}

void check_unchanged(const struct raw *raw, unsigned char *copy, const char *file, int line)
{
    check_bytes(raw->bytes, copy, raw->size, "the segment", file, line);
    free(copy);
}

/* Processes and time ----------------------------------------------------------------------------------------------- */

int start_child(void (*run)(void *context), void *context)
{
    fflush(NULL);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    run(context);
    fflush(NULL);
    _exit(0);
}

int child_status(int pid)
{
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void nap_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* Traps ------------------------------------------------------------------------------------------------------------ */

static struct {
    unsigned char *page;
    size_t size;
    void (*act)(void *context);
    void *context;
    volatile unsigned hits;
} trap;

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The fault is our own doing, in the middle of ordinary code, so ordinary calls are safe here. */
static void spring(int number, siginfo_t *info, void *unused)
{
    (void)unused;
    const uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)trap.page;
    if (trap.page == NULL || at >= trap.size || trap.hits > 0) {
        signal(number, SIG_DFL); /* not ours: the second time it is fatal */
        return;
    }
    trap.hits++;
    trap.act(trap.context);
    mprotect(trap.page, trap.size, PROT_READ | PROT_WRITE);
}

unsigned char *trap_page(void (*act)(void *context), void *context)
{
    return trap_pages(1, act, context);
}

unsigned char *trap_pages(size_t pages, void (*act)(void *context), void *context)
{
    CHECK(trap.page == NULL);
    trap.size = pages * page_size();
    trap.act = act;
    trap.context = context;
    trap.hits = 0;
    trap.page = mmap(NULL, trap.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(trap.page != MAP_FAILED);
    struct sigaction action = {.sa_sigaction = spring, .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    return trap.page;
}

unsigned trap_hits(void)
{
    return trap.hits;
}

void trap_drop(void)
{
    munmap(trap.page, trap.size);
    trap.page = NULL;
    signal(SIGSEGV, SIG_DFL);
}

int run_tests(const struct test *tests, size_t count, const char *only)
{
    owner = getpid();
    size_t ran = 0;
    for (size_t i = 0; i < count; i++) {
        if (only != NULL && strstr(tests[i].name, only) == NULL)
            continue;
        printf("%s\n", tests[i].name);
        fflush(stdout);
        tests[i].run();
        drop_names();
        ran++;
    }
    printf("%zu tests passed\n", ran);
    return ran > 0 ? 0 : 1;
}
