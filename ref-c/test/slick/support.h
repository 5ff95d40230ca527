/* SPDX-License-Identifier: MIT
 *
 * Queues to test with, their raw bytes through the generated overlays, and payloads that tell where they belong. */
#ifndef SHMW_TEST_SLICK_SUPPORT_H
#define SHMW_TEST_SLICK_SUPPORT_H

#include "../check.h"
#include "shmwire/slick.h"
#include "slick/layout.h"

#define NEVER SHMW_SLICK_NO_INDEX
#define MS UINT64_C(1000000)

/* A queue, a producer of it, and a second, independent mapping of its bytes. */
struct room {
    const char *name;
    shmw_slick_queue *queue;
    shmw_slick_producer *producer;
    struct raw raw;
    uint32_t size;
    uint32_t element_size;
};

struct room make_room(uint32_t size, uint32_t element_size);
struct room make_room_of(enum shmw_slick_generation generation, uint32_t size, uint32_t element_size);
void leave_room(struct room *room);

/* A second producer; stall_ns 0: the default. */
shmw_slick_producer *open_producer(const struct room *room, uint64_t stall_ns);

/* From index on, or from the oldest item. */
shmw_slick_reader *open_reader(const struct room *room, uint64_t index);
shmw_slick_reader *open_oldest(const struct room *room);

struct shmw_slick_wire_header *raw_header(const struct raw *raw);
struct shmw_slick_wire_slot *raw_slot(const struct room *room, uint64_t index);
unsigned char *raw_element(const struct room *room, uint64_t index);
#define CHECK_SLOT(room, index, data_index_, size_) \
    do { \
        CHECK_U64(raw_slot((room), (index))->data_index, (data_index_)); \
        CHECK_U64(raw_slot((room), (index))->size, (size_)); \
    } while (0)
#define CHECK_RESERVED(room, index_, size_) CHECK_U64(raw_header(&(room)->raw)->reserved, (uint64_t)(index_) << 16 | (size_))

/* header.reserved, as some other producer left it. */
void set_reserved(const struct room *room, uint64_t index, uint64_t size);

/* `length` bytes of an item that begins at `index`. */
void fill(unsigned char *payload, uint64_t index, size_t length);

/* Write an item of so many elements, which must get this index. */
void put(const struct room *room, uint64_t index, uint32_t elements);
void put_by(shmw_slick_producer *producer, const struct room *room, uint64_t index, uint32_t elements);

/* A claim of so many elements, filled, which must begin at this index. */
struct shmw_slick_claim claim_at(shmw_slick_producer *producer, const struct room *room, uint64_t index, uint32_t elements);

/* The next item is this one, whole, with so many indices lost before it. */
void expect(shmw_slick_reader *reader, const struct room *room, uint64_t index, uint32_t elements, uint64_t lost);
void expect_none(shmw_slick_reader *reader, const struct room *room);
void check_item(const struct room *room, const struct shmw_slick_item *item, const unsigned char *payload);
uint64_t cursor_of(const shmw_slick_reader *reader);

#endif
