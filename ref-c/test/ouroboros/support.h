/* SPDX-License-Identifier: MIT
 *
 * Logs to test with, their raw bytes through the generated overlays, and numbered payloads. */
#ifndef SHMW_TEST_OUROBOROS_SUPPORT_H
#define SHMW_TEST_OUROBOROS_SUPPORT_H

#include "../check.h"
#include "ouroboros/layout.h"
#include "shmwire/ouroboros.h"

#define ROW_C SHMW_OUROBOROS_ROW_COMMITTED
#define ENTRY_C SHMW_OUROBOROS_ENTRY_COMMITTED
#define WRAP_MARK (SHMW_OUROBOROS_LENGTH_WRAP | SHMW_OUROBOROS_ENTRY_COMMITTED)

/* A log, its writer, and a second, independent mapping of its bytes. */
struct room {
    const char *name;
    shmw_ouroboros_writer *writer;
    struct raw raw;
};

/* size 0: by the formula. */
struct room make_room(uint32_t chunk_count, uint64_t chunk_target_size, uint64_t size);
void leave_room(struct room *room);

shmw_ouroboros_reader *open_reader(const struct room *room, enum shmw_ouroboros_start start);

/* Close the room's writer and take the log over again. */
void take_over(struct room *room, uint64_t chunk_target_size);

struct shmw_ouroboros_wire_header *raw_header(const struct raw *raw);
struct shmw_ouroboros_wire_row *raw_row(const struct raw *raw, uint32_t i);
uint32_t raw_word(const struct raw *raw, uint64_t offset);
void set_raw_word(const struct raw *raw, uint64_t offset, uint32_t value);
#define CHECK_ROW(raw, i, offset_, token_) \
    do { \
        CHECK_U64(raw_row((raw), (i))->offset, (offset_)); \
        CHECK_U64(raw_row((raw), (i))->token, (token_)); \
    } while (0)

/* The payload of entry `sequence`: `length` bytes that tell sequence and place. */
void fill(unsigned char *payload, uint64_t sequence, size_t length);

/* Write one such entry, which must get this sequence. */
void put(const struct room *room, uint64_t sequence, size_t length);

/* Read one entry and check its payload against its sequence. */
struct shmw_ouroboros_entry take(shmw_ouroboros_reader *reader);

/* The next entry has this sequence, with so many skipped before it. */
void expect(shmw_ouroboros_reader *reader, uint64_t sequence, uint64_t skipped);
void expect_none(shmw_ouroboros_reader *reader);

#endif
