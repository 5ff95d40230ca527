/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "shmwire.h"

static void ask_for_pid(void *context)
{
    CHECK_U64(shmw_pid(context), getpid());
    CHECK_U64(shmw_pid(context), getpid());
}

static void the_pid_is_right_after_fork(void)
{
    struct shmw_pid_cache *cache = shmw_pid_cache_new();
    CHECK(cache != NULL);
    CHECK_U64(shmw_pid(cache), getpid());
    CHECK_U64(cache->pid, getpid());
    CHECK_U64(child_status(start_child(ask_for_pid, cache)), 0);
    CHECK_U64(shmw_pid(cache), getpid());
    shmw_pid_cache_free(cache);
    CHECK_U64(shmw_pid(NULL), getpid());
    shmw_pid_cache_free(NULL);
}

/* A process table of our own making ------------------------------------------------------------------------------- */

struct fake {
    char root[64];
    char own_line[512]; /* our mapping's line in the true /proc/self/maps */
};

static void write_maps(const struct fake *fake, const char *pid, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", fake->root, pid);
    CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof(path), "%s/%s/maps", fake->root, pid);
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

static struct fake make_fake(const struct shmw_map *map)
{
    struct fake fake;
    strcpy(fake.root, "/tmp/shmw-refc-proc-XXXXXX");
    CHECK(mkdtemp(fake.root) != NULL);
    char wanted[32];
    snprintf(wanted, sizeof(wanted), "%lx-", (unsigned long)(uintptr_t)map->base);
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    bool found = false;
    while (!found && fgets(fake.own_line, sizeof(fake.own_line), maps) != NULL)
        found = strncmp(fake.own_line, wanted, strlen(wanted)) == 0;
    fclose(maps);
    CHECK(found);
    char link[128];
    snprintf(link, sizeof(link), "%s/self", fake.root);
    CHECK(symlink("42", link) == 0);
    write_maps(&fake, "42", fake.own_line);
    write_maps(&fake, "1", "7f0000000000-7f0000001000 r--p 00000000 fe:00 12                         /sbin/init\n");
    return fake;
}

static void drop_fake(const struct fake *fake)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", fake->root);
    CHECK(system(command) == 0);
}

static void nobody_else_maps_it(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 4096, 4096, 0600, &map), SHMW_OK);
    const struct fake fake = make_fake(&map);
    write_maps(&fake, "77", "");                  /* a kernel thread */
    write_maps(&fake, "notapid", fake.own_line); /* /proc has other directories as well */
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_OK);
    write_maps(&fake, "77", "55-66 r--p 0 00:01 5\nnonsense\n7f12-7f13 rw-s 0 zz\n");
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_OK);
    drop_fake(&fake);
    shmw_map_close(&map);
}

static void somebody_else_maps_it(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 4096, 4096, 0600, &map), SHMW_OK);
    const struct fake fake = make_fake(&map);
    char lines[1024];
    snprintf(lines, sizeof(lines), "1000-2000 r--p 00000000 fe:00 12\n7abc0000-7abc1000 r--s%s", strchr(fake.own_line, ' ') + 5);
    write_maps(&fake, "77", lines); /* elsewhere, read-only, the same file */
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_BUSY);
    drop_fake(&fake);
    shmw_map_close(&map);
}

static void what_cannot_be_told_is_busy(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 4096, 4096, 0600, &map), SHMW_OK);
    CHECK_CODE(shmw_map_exclusive_in(&map, "/nonexistent"), SHMW_BUSY);
    const struct fake fake = make_fake(&map);
    char path[128];
    snprintf(path, sizeof(path), "%s/77", fake.root);
    CHECK(mkdir(path, 0700) == 0);
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_OK); /* no maps: the process has gone meanwhile */
    snprintf(path, sizeof(path), "%s/77/maps", fake.root);
    CHECK(symlink("maps", path) == 0); /* cannot be opened, and not because it has gone */
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_BUSY);
    CHECK(unlink(path) == 0);
    CHECK(mkdir(path, 0700) == 0); /* can be opened and not read */
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_BUSY);
    CHECK(rmdir(path) == 0);
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_OK);
    snprintf(path, sizeof(path), "rm -r '%s/1'", fake.root); /* hidepid: not even process 1 is there */
    CHECK(system(path) == 0);
    CHECK_CODE(shmw_map_exclusive_in(&map, fake.root), SHMW_BUSY);
    drop_fake(&fake);
    shmw_map_close(&map);
}

static void hold_mapping(void *context)
{
    int *pipes = context;
    CHECK(write(pipes[1], "m", 1) == 1);
    char byte;
    CHECK(read(pipes[2], &byte, 1) == 1);
}

/* With the true /proc: a forked child has the mapping too. */
static void a_child_with_the_mapping_is_seen(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 4096, 4096, 0600, &map), SHMW_OK);
    int pipes[4];
    CHECK(pipe(pipes) == 0 && pipe(pipes + 2) == 0);
    const int child = start_child(hold_mapping, pipes);
    char byte;
    CHECK(read(pipes[0], &byte, 1) == 1);
    CHECK_CODE(shmw_map_exclusive(&map), SHMW_BUSY);
    CHECK(write(pipes[3], "g", 1) == 1);
    CHECK_U64(child_status(child), 0);
    for (int i = 0; i < 4; i++)
        close(pipes[i]);
    shmw_map_close(&map);
}

RUN_TESTS(TEST(the_pid_is_right_after_fork), TEST(nobody_else_maps_it), TEST(somebody_else_maps_it),
          TEST(what_cannot_be_told_is_busy), TEST(a_child_with_the_mapping_is_seen))
