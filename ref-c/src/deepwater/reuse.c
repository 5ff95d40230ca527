/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: the memory of a chunk that leaves the window becomes that of the next one [deepwater.rotate.reuse]. New pages cost
 * a writer more than all the rest of a record: they are found, cleared, mapped, and given back.
 *
 * The leaving chunk's segments get the names of the chunk to come, which nobody opens before count covers it, and which recovery
 * removes. Whether a reader still holds them the system knows: a write lease is given on a file that nobody else has open or mapped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

void shmw_deepwater_keep(struct shmw_deepwater_writer *writer, struct shmw_deepwater_chunk_map *chunk)
{
    const struct shmw_deepwater_place *place = &writer->place;
    if (place->live_window > SHMW_DEEPWATER_REUSE_WINDOW || place->chunk_size < SHMW_DEEPWATER_REUSE_CHUNK) {
        shmw_deepwater_chunk_close(chunk);
        return;
    }
    struct shmw_deepwater_chunk_map *kept = &writer->kept[chunk->id % (SHMW_DEEPWATER_REUSE_WINDOW + 1)];
    shmw_deepwater_chunk_close(kept); /* of a chunk that left the window a rotation ago, or before */
    *kept = *chunk;
    *chunk = (struct shmw_deepwater_chunk_map){.data = {.fd = -1}, .index = {.fd = -1}};
}

static struct shmw_deepwater_chunk_map *kept_of(struct shmw_deepwater_writer *writer, uint64_t id)
{
    struct shmw_deepwater_chunk_map *kept = &writer->kept[id % (SHMW_DEEPWATER_REUSE_WINDOW + 1)];
    return kept->data.base != NULL && kept->id == id ? kept : NULL;
}

static int give_name(const struct shmw_deepwater_place *place, uint64_t old, uint64_t new, const char *suffix)
{
    char from[SHMW_DEEPWATER_NAME_ROOM];
    char to[SHMW_DEEPWATER_NAME_ROOM];
    shmw_deepwater_memory_name(place, old, suffix, from);
    shmw_deepwater_memory_name(place, new, suffix, to);
    return shmw_link(from, to);
}

void shmw_deepwater_offer(struct shmw_deepwater_writer *writer, uint64_t rows)
{
    const struct shmw_deepwater_place *place = &writer->place;
    writer->spare = NULL;
    if (rows <= place->live_window)
        return;
    const uint64_t leaving = rows - 1 - place->live_window;
    struct shmw_deepwater_chunk_map *kept = kept_of(writer, leaving);
    if (kept == NULL)
        return;
    if (give_name(place, leaving, rows, "data") == SHMW_OK && give_name(place, leaving, rows, "idx") == SHMW_OK)
        writer->spare = kept;
    else
        shmw_deepwater_chunk_unlink(place, rows);
}

void shmw_deepwater_settle(struct shmw_deepwater_writer *writer, uint64_t rows)
{
    if (writer->spare == NULL || writer->in_memory > writer->spare->id)
        return;
    shmw_deepwater_chunk_unlink(&writer->place, rows); /* it had to stay */
    writer->spare = NULL;
}

/* Nobody else has it open or mapped. Whoever opens it while the lease stands, by a name that is of no chunk yet, sends us a signal that
 * is ignored by default; the usual one would end the process. */
static bool alone(int fd)
{
    if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_WRLCK) != 0)
        return false;
    return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

bool shmw_deepwater_take_spare(struct shmw_deepwater_writer *writer, uint64_t id, struct shmw_deepwater_chunk_map *chunk)
{
    struct shmw_deepwater_chunk_map *spare = writer->spare;
    const int cause = errno;
    writer->spare = NULL;
    if (spare == NULL)
        return false;
    const bool taken = alone(spare->data.fd) && alone(spare->index.fd);
    errno = cause;
    if (!taken) {
        shmw_deepwater_chunk_close(spare); /* its reader keeps it; the name goes when the new chunk is made */
        return false;
    }
    *chunk = *spare;
    *spare = (struct shmw_deepwater_chunk_map){.data = {.fd = -1}, .index = {.fd = -1}};
    shmw_store_relaxed(&chunk->data_header->magic, 0); /* nobody reads it: R0 comes with the headers */
    shmw_store_relaxed(&chunk->index_header->magic, 0);
    memset(chunk->data_header, 0, sizeof(*chunk->data_header)); /* records and entries stay: nobody reads what no count covers */
    memset(chunk->index_header, 0, sizeof(*chunk->index_header));
    chunk->id = id;
    shmw_deepwater_chunk_headers(chunk, writer->pid);
    return true;
}

void shmw_deepwater_keep_nothing(struct shmw_deepwater_writer *writer)
{
    for (size_t i = 0; i <= SHMW_DEEPWATER_REUSE_WINDOW; i++)
        shmw_deepwater_chunk_close(&writer->kept[i]);
}
