/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shmwire.h"

/* Process id ------------------------------------------------------------------------------------------------------- */

struct shmw_pid_cache *shmw_pid_cache_new(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *cache = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache == MAP_FAILED)
        return NULL;
    if (madvise(cache, page, MADV_WIPEONFORK) == 0)
        return cache;
    munmap(cache, page);
    return NULL;
}

void shmw_pid_cache_free(struct shmw_pid_cache *cache)
{
    if (cache != NULL)
        munmap(cache, (size_t)sysconf(_SC_PAGESIZE));
}

uint32_t shmw_pid_lookup(struct shmw_pid_cache *cache)
{
    const uint32_t pid = (uint32_t)getpid();
    if (cache != NULL)
        shmw_store_relaxed(&cache->pid, pid);
    return pid;
}

/* Other processes -------------------------------------------------------------------------------------------------- */

/* A file as /proc/PID/maps names it. Taken from our own maps: on some file systems fstat gives another device number. */
struct identity {
    unsigned major;
    unsigned minor;
    unsigned long inode;
};

enum scan { SCAN_ABSENT, SCAN_FOUND, SCAN_UNREADABLE };

static bool parse_line(const char *line, uintptr_t *start, struct identity *id)
{
    unsigned long first;
    if (sscanf(line, "%lx-%*x %*s %*x %x:%x %lu", &first, &id->major, &id->minor, &id->inode) != 4)
        return false;
    *start = (uintptr_t)first;
    return true;
}

/* Look through one maps file for a mapping at `start`, which fills in *id, or, with start 0, for one of the file *id. */
static enum scan scan_maps(const char *path, uintptr_t start, struct identity *id)
{
    FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return errno == ENOENT || errno == ESRCH ? SCAN_ABSENT : SCAN_UNREADABLE;
    enum scan found = SCAN_ABSENT;
    char *line = NULL;
    size_t room = 0;
    errno = 0;
    while (found == SCAN_ABSENT && getline(&line, &room, maps) > 0) {
        struct identity seen;
        uintptr_t at;
        if (!parse_line(line, &at, &seen))
            continue;
        const bool same_file = seen.major == id->major && seen.minor == id->minor && seen.inode == id->inode;
        if (start != 0 ? at == start : same_file) {
            *id = seen;
            found = SCAN_FOUND;
        }
    }
    if (found == SCAN_ABSENT && ferror(maps) && errno != ESRCH)
        found = SCAN_UNREADABLE;
    free(line);
    fclose(maps);
    return found;
}

/* A process table, and our own entry in it: another number than getpid() when the table is that of an outer namespace. */
struct table {
    const char *path;
    DIR *entries;
    char self[32];
};

static bool open_table(struct table *table)
{
    char link[PATH_MAX];
    snprintf(link, sizeof(link), "%s/self", table->path);
    const ssize_t length = readlink(link, table->self, sizeof(table->self) - 1);
    if (length <= 0)
        return false;
    table->self[length] = '\0';
    table->entries = opendir(table->path);
    return table->entries != NULL;
}

static enum scan scan_process(const struct table *table, const char *pid, uintptr_t start, struct identity *id)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s/maps", table->path, pid);
    return scan_maps(path, start, id);
}

static int scan_others(const struct table *table, struct identity *id)
{
    bool saw_init = false; /* absent under hidepid: then others are hidden as well, and we cannot tell */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(table->entries);
        if (entry == NULL)
            return saw_init && errno == 0 ? SHMW_OK : SHMW_BUSY;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        saw_init = saw_init || strcmp(entry->d_name, "1") == 0;
        if (strcmp(entry->d_name, table->self) == 0)
            continue;
        if (scan_process(table, entry->d_name, 0, id) != SCAN_ABSENT)
            return SHMW_BUSY;
    }
}

int shmw_map_exclusive(const struct shmw_map *map)
{
    return shmw_map_exclusive_in(map, "/proc");
}

int shmw_map_exclusive_in(const struct shmw_map *map, const char *proc)
{
    struct table table = {.path = proc};
    if (!open_table(&table))
        return SHMW_BUSY;
    struct identity id = {0};
    int rc = SHMW_BUSY;
    if (scan_process(&table, table.self, (uintptr_t)map->base, &id) == SCAN_FOUND)
        rc = scan_others(&table, &id);
    closedir(table.entries);
    return rc;
}
