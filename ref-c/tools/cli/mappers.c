/* SPDX-License-Identifier: MIT */
#include "mappers.h"

#include <ctype.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool add(struct mappers *mappers, const struct mapping *mapping)
{
    const struct mapping *last = mappers->count > 0 ? &mappers->list[mappers->count - 1] : NULL;
    if (last != NULL && last->pid == mapping->pid && last->inode == mapping->inode && mapping->pid != getpid())
        return true; /* one file mapped in several pieces */
    if (mappers->count == mappers->room) {
        const size_t room = mappers->room == 0 ? 256 : mappers->room * 2;
        struct mapping *list = realloc(mappers->list, room * sizeof(*list));
        if (list == NULL)
            return false;
        mappers->list = list;
        mappers->room = room;
    }
    mappers->list[mappers->count++] = *mapping;
    return true;
}

/* Shared mappings of files of one process. */
static bool scan_process(struct mappers *mappers, long pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL) {
        mappers->complete = mappers->complete && access(path, F_OK) != 0; /* gone meanwhile: nothing was hidden */
        return true;
    }
    char *line = NULL;
    size_t room = 0;
    bool good = true;
    while (good && getline(&line, &room, maps) > 0) {
        struct mapping mapping = {.pid = pid};
        char rights[5] = "";
        const int fields =
            sscanf(line, "%lx-%*x %4s %*x %x:%x %lu", &mapping.start, rights, &mapping.major, &mapping.minor, &mapping.inode);
        if (fields == 5 && mapping.inode != 0 && rights[3] == 's')
            good = add(mappers, &mapping);
    }
    if (ferror(maps))
        mappers->complete = false;
    free(line);
    fclose(maps);
    return good;
}

bool mappers_scan(struct mappers *mappers)
{
    *mappers = (struct mappers){.complete = true};
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        mappers->complete = false;
        return true;
    }
    bool good = true;
    bool saw_init = false; /* hidepid hides processes altogether */
    for (struct dirent *entry = readdir(proc); good && entry != NULL; entry = readdir(proc)) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        saw_init = saw_init || strcmp(entry->d_name, "1") == 0;
        good = scan_process(mappers, strtol(entry->d_name, NULL, 10));
    }
    closedir(proc);
    mappers->complete = mappers->complete && saw_init;
    return good;
}

void mappers_free(struct mappers *mappers)
{
    free(mappers->list);
    *mappers = (struct mappers){0};
}

long mappers_next(const struct mappers *mappers, const void *base, size_t *at)
{
    const long self = getpid();
    const struct mapping *own = NULL;
    for (size_t i = 0; i < mappers->count && own == NULL; i++)
        if (mappers->list[i].pid == self && mappers->list[i].start == (uintptr_t)base)
            own = &mappers->list[i];
    while (own != NULL && *at < mappers->count) {
        const struct mapping *mapping = &mappers->list[(*at)++];
        if (mapping->pid != self && mapping->inode == own->inode && mapping->major == own->major && mapping->minor == own->minor)
            return mapping->pid;
    }
    return 0;
}
