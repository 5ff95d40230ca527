/* SPDX-License-Identifier: MIT
 *
 * Producers and readers in processes of their own, over mappings of their own; some of them are killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "atomic.h"
#include "support.h"

#define ELEMENT 24

/* What processes tell each other: zeroed memory that they share. */
struct board {
    _Atomic(uint32_t) ready;
    _Atomic(uint32_t) over;
    _Atomic(uint64_t) index;
    _Atomic(uint64_t) taken[4];
    _Atomic(uint64_t) lost[4];
};

static struct board *make_board(void)
{
    void *board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    return board;
}

static void await(_Atomic(uint32_t) *word, uint32_t value)
{
    const uint64_t limit = now_ns() + 20000 * MS;
    while (shmw_load_acquire(word) < value) {
        CHECK(now_ns() < limit);
        nap_ms(1);
    }
}

struct party {
    struct room *room;
    struct board *board;
    const char *cursor;
    unsigned number;
};

/* The same queue, opened by name. */
static struct room enter(const struct party *party)
{
    struct room room = *party->room;
    CHECK_CODE(shmw_slick_open(room.name, NULL, &room.queue), SHMW_OK);
    room.producer = open_producer(&room, UINT64_C(20000) * MS);
    return room;
}

/* Killed between reservation and publication -------------------------------------------------------------------------- */

static void reserve_and_hang(void *context)
{
    const struct party *party = context;
    struct room room = enter(party);
    struct shmw_slick_claim claim;
    CHECK_CODE(shmw_slick_reserve(room.producer, 2, &claim), SHMW_OK);
    shmw_store_release(&party->board->index, claim.index);
    shmw_store_release(&party->board->ready, 1);
    for (;;)
        pause();
}

static uint64_t kill_a_producer(struct party *party)
{
    shmw_store_release(&party->board->ready, 0);
    const int child = start_child(reserve_and_hang, party);
    await(&party->board->ready, 1);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
    return shmw_load_acquire(&party->board->index);
}

/* [slick.reserve.give-up]: who comes round to it waits the stall time, marks it and goes on. */
static void a_killed_producer_is_given_up(void)
{
    struct room room = make_room(8, ELEMENT);
    struct party party = {.room = &room, .board = make_board()};
    struct shmw_slick_producer_info info;
    shmw_slick_reader *reader = open_oldest(&room);
    shmw_slick_producer *other = open_producer(&room, 20 * MS);
    put_by(other, &room, 0, 3);
    expect(reader, &room, 0, 3, 0);
    CHECK_U64(kill_a_producer(&party), 3);
    put_by(other, &room, 5, 3);
    put_by(other, &room, 8, 3);
    expect_none(reader, &room);
    struct shmw_slick_claim claim = claim_at(other, &room, 11, 1); /* over the dead one's 3 */
    CHECK_SLOT(&room, 3, 5, 1);
    CHECK_CODE(shmw_slick_producer_info(other, &info), SHMW_OK);
    CHECK_U64(info.given_up, 1);
    expect(reader, &room, 5, 3, 0); /* passed, and not lost */
    expect(reader, &room, 8, 3, 0);
    CHECK_CODE(shmw_slick_publish(other, &claim), SHMW_OK);
    expect(reader, &room, 11, 1, 0);
    shmw_slick_producer_close(other);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

static void a_killed_producer_is_recovered(void)
{
    struct room room = make_room(8, ELEMENT);
    struct party party = {.room = &room, .board = make_board()};
    uint64_t holes = 0;
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 1);
    CHECK_U64(kill_a_producer(&party), 1);
    CHECK_U64(kill_a_producer(&party), 3);
    CHECK_CODE(shmw_slick_recover(room.queue, true, &holes), SHMW_OK);
    CHECK_U64(holes, 2);
    CHECK_SLOT(&room, 1, 3, 1);
    CHECK_SLOT(&room, 3, 5, 1);
    put(&room, 5, 1);
    expect(reader, &room, 0, 1, 0);
    expect(reader, &room, 5, 1, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* A producer that is stopped for longer than the stall time learns of it. */
static void publish_late(void *context)
{
    const struct party *party = context;
    struct room room = enter(party);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 0, 1);
    shmw_store_release(&party->board->ready, 1);
    await(&party->board->over, 1);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_LAPPED);
    put(&room, 5, 1);
}

static void a_stopped_producer_learns_of_it(void)
{
    struct room room = make_room(4, ELEMENT);
    struct party party = {.room = &room, .board = make_board()};
    shmw_slick_producer *other = open_producer(&room, 10 * MS);
    const int child = start_child(publish_late, &party);
    await(&party.board->ready, 1);
    for (uint64_t n = 1; n < 5; n++)
        put_by(other, &room, n, 1);
    CHECK_SLOT(&room, 4, 4, 1);
    shmw_store_release(&party.board->over, 1);
    CHECK_U64(child_status(child), 0);
    CHECK_SLOT(&room, 4, 4, 1);
    CHECK_SLOT(&room, 5, 5, 1);
    shmw_slick_producer_close(other);
    leave_room(&room);
}

/* Fork ----------------------------------------------------------------------------------------------------------------- */

/* The child's copies go on for themselves; its parent's claim is none of its business. */
static void use_copies(void *context)
{
    struct party *party = context;
    struct room *room = party->room;
    struct shmw_slick_claim claim = {.index = 1, .elements = 2};
    CHECK_CODE(shmw_slick_publish(room->producer, &claim), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_slick_abandon(room->producer, &claim), SHMW_OUT_OF_ORDER);
    put(room, 3, 1);
    shmw_slick_producer_close(room->producer);
    CHECK_SLOT(room, 1, NEVER, 1); /* nothing was abandoned */
}

static void a_claim_that_is_open_at_fork(void)
{
    struct room room = make_room(8, ELEMENT);
    struct party party = {.room = &room};
    shmw_slick_reader *reader = open_oldest(&room);
    put(&room, 0, 1);
    const struct shmw_slick_claim claim = claim_at(room.producer, &room, 1, 2);
    const int child = start_child(use_copies, &party);
    CHECK_U64(child_status(child), 0);
    CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
    put(&room, 4, 1);
    expect(reader, &room, 0, 1, 0);
    expect(reader, &room, 1, 2, 0);
    expect(reader, &room, 3, 1, 0);
    expect(reader, &room, 4, 1, 0);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

/* Consumers of one cursor, of which some are killed -------------------------------------------------------------------- */

static void consume(void *context)
{
    const struct party *party = context;
    struct room room = enter(party);
    shmw_slick_cursor *cursor;
    unsigned char buffer[8 * ELEMENT];
    struct shmw_slick_item item;
    CHECK_CODE(shmw_slick_cursor_open(party->cursor, &cursor), SHMW_OK);
    const struct shmw_slick_reader_options options = {.shared = cursor};
    shmw_slick_reader *reader;
    CHECK_CODE(shmw_slick_reader_open(room.queue, &options, &reader), SHMW_OK);
    for (;;) {
        const bool over = shmw_load_acquire(&party->board->over) != 0;
        const int rc = shmw_slick_wait_next(reader, buffer, sizeof(buffer), 5 * MS, 0, &item);
        if (rc == SHMW_TIMEOUT && over)
            break;
        if (rc != SHMW_OK) {
            CHECK(rc == SHMW_TIMEOUT || rc == SHMW_LAPPED);
            continue;
        }
        check_item(&room, &item, buffer);
        /* nobody else stores here: a plain sum that others may look at */
        const uint64_t taken = shmw_load_relaxed(&party->board->taken[party->number]);
        const uint64_t lost = shmw_load_relaxed(&party->board->lost[party->number]);
        shmw_store_relaxed(&party->board->lost[party->number], lost + item.lost);
        shmw_store_release(&party->board->taken[party->number], taken + item.elements);
    }
}

/* A consumer dies with what it took and did not count: one item of it at most. */
static void killed_consumers(void)
{
    struct room room = make_room(64, ELEMENT);
    struct party parties[4];
    int children[4];
    struct board *board = make_board();
    shmw_slick_cursor *cursor;
    const char *name = fresh_name();
    CHECK_CODE(shmw_slick_cursor_create(name, room.queue, SHMW_SLICK_OLDEST, 0, &cursor), SHMW_OK);
    for (unsigned i = 0; i < 4; i++) {
        parties[i] = (struct party){.room = &room, .board = board, .cursor = name, .number = i};
        children[i] = start_child(consume, &parties[i]);
    }
    for (uint64_t n = 0; n < 20000; n++) {
        struct shmw_slick_claim claim = claim_at(room.producer, &room, n, 1);
        CHECK_CODE(shmw_slick_publish(room.producer, &claim), SHMW_OK);
        if (n == 7000 || n == 13000)
            CHECK(kill(children[n == 13000], SIGKILL) == 0);
    }
    shmw_store_release(&board->over, 1);
    uint64_t sum = 0;
    unsigned killed = 0;
    for (unsigned i = 0; i < 4; i++) {
        const int status = child_status(children[i]);
        CHECK(status == 0 || status == 128 + SIGKILL);
        killed += status != 0;
        sum += shmw_load_acquire(&board->taken[i]) + shmw_load_acquire(&board->lost[i]);
    }
    printf("  %u killed; %llu of 20000 taken or lost\n", killed, (unsigned long long)sum);
    CHECK_U64(killed, 2);
    CHECK(sum <= 20000);
    shmw_slick_cursor_close(cursor);
    leave_room(&room);
}

/* Producers that are killed wherever they are, one after the other, and a last one that comes round ---------------------- */

static void write_without_end(void *context)
{
    const struct party *party = context;
    struct room room = enter(party);
    unsigned char payload[3 * ELEMENT];
    for (uint32_t n = 0;; n++) {
        const size_t length = (1 + n % 3) * (size_t)ELEMENT;
        memset(payload, (int)(party->number * 16 + n % 16), length);
        shmw_slick_write(room.producer, payload, length, NULL);
        shmw_store_release(&party->board->ready, 1);
    }
}

static void expect_uniform(shmw_slick_reader *reader)
{
    unsigned char buffer[8 * ELEMENT];
    struct shmw_slick_item item;
    int rc;
    while ((rc = shmw_slick_next(reader, buffer, sizeof(buffer), &item)) == SHMW_OK)
        for (size_t i = 1; i < item.length; i++)
            CHECK_U64(buffer[i], buffer[0]); /* not torn */
    CHECK(rc == SHMW_EMPTY || rc == SHMW_LAPPED);
}

static void producers_killed_anywhere(void)
{
    const uint64_t seed = 20261127;
    uint64_t state = seed;
    struct room room = make_room(16, ELEMENT);
    struct board *board = make_board();
    shmw_slick_reader *reader = open_oldest(&room);
    printf("  seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < 30; round++) {
        struct party party = {.room = &room, .board = board, .number = round % 16};
        const uint64_t life_ns = draw(&state, 2 * MS);
        shmw_store_release(&board->ready, 0);
        const int child = start_child(write_without_end, &party);
        await(&board->ready, 1);
        const uint64_t until = now_ns() + life_ns;
        while (now_ns() < until)
            expect_uniform(reader);
        CHECK(kill(child, SIGKILL) == 0);
        CHECK_U64(child_status(child), 128 + SIGKILL);
        CHECK_CODE(shmw_slick_recover(room.queue, true, NULL), SHMW_OK);
        CHECK_CODE(shmw_slick_validate(room.queue, NULL, NULL), SHMW_OK);
    }
    unsigned char payload[ELEMENT] = {0};
    shmw_slick_producer *last = open_producer(&room, MS);
    for (unsigned n = 0; n < 64; n++) {
        CHECK_CODE(shmw_slick_write(last, payload, ELEMENT, NULL), SHMW_OK);
        expect_uniform(reader);
    }
    struct shmw_slick_producer_info info;
    CHECK_CODE(shmw_slick_producer_info(last, &info), SHMW_OK);
    CHECK_U64(info.given_up, 0); /* everything had been recovered */
    shmw_slick_producer_close(last);
    shmw_slick_reader_close(reader);
    leave_room(&room);
}

RUN_TESTS(TEST(a_killed_producer_is_given_up), TEST(a_killed_producer_is_recovered), TEST(a_stopped_producer_learns_of_it),
          TEST(a_claim_that_is_open_at_fork), TEST(killed_consumers), TEST(producers_killed_anywhere))
