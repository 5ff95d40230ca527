/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static char buffer[1024];

/* A room, and a read-only handle that looks into it. */
struct view {
    struct room room;
    shmw_dmxp_segment *segment;
    shmw_dmxp_channel *channel;
    uint64_t position;
};

static struct view make_view(struct room_options options)
{
    struct view view = {.room = make_room(options)};
    view.channel = attach_again(&view.room, true, &view.segment);
    return view;
}

static void leave_view(struct view *view)
{
    shmw_dmxp_detach(view->channel);
    shmw_dmxp_close(view->segment);
    leave_room(&view->room);
}

static int look(struct view *view, struct shmw_dmxp_message *message)
{
    return shmw_dmxp_peek(view->channel, &view->position, buffer, sizeof(buffer), message);
}

static void looks_in_order_and_changes_nothing(void)
{
    struct view view = make_view((struct room_options){0});
    const struct shmw_dmxp_meta meta = {.message_id = 1, .timestamp_ns = 2, .message_type = 3, .sender_pid = 4, .flags = 5};
    put(view.room.channel, "taken");
    expect(view.room.channel, "taken");
    CHECK_CODE(shmw_dmxp_try_send(view.room.channel, "first", 5, &meta, NULL), SHMW_OK);
    put(view.room.channel, "second");
    unsigned char *before = raw_copy(&view.room.raw);
    struct shmw_dmxp_message message;
    CHECK_CODE(look(&view, &message), SHMW_OK);
    CHECK_BYTES(buffer, "first", 5);
    CHECK_U64(message.position, 1);
    CHECK_U64(view.position, 2);
    CHECK_U64(message.length, 5);
    CHECK_U64(message.meta.message_id, 1);
    CHECK_U64(message.meta.timestamp_ns, 2);
    CHECK_U64(message.meta.message_type, 3);
    CHECK_U64(message.meta.sender_pid, 4);
    CHECK_U64(message.meta.sender_runtime, SHMW_DMXP_RUNTIME_C);
    CHECK_U64(message.meta.flags, 5);
    CHECK_CODE(look(&view, NULL), SHMW_OK);
    CHECK_BYTES(buffer, "second", 6);
    CHECK_CODE(look(&view, &message), SHMW_EMPTY);
    CHECK_U64(view.position, 3);
    CHECK_UNCHANGED(&view.room.raw, before);
    put(view.room.channel, "later");
    CHECK_CODE(look(&view, &message), SHMW_OK);
    CHECK_BYTES(buffer, "later", 5);
    leave_view(&view);
}

static void steps_over_claims_and_tombstones(void)
{
    struct view view = make_view((struct room_options){0});
    struct shmw_dmxp_claim claim;
    CHECK_CODE(shmw_dmxp_claim(view.room.channel, &claim), SHMW_OK);
    CHECK_CODE(shmw_dmxp_abandon(view.room.channel, &claim), SHMW_OK);
    CHECK_CODE(shmw_dmxp_claim(view.room.channel, &claim), SHMW_OK);
    CHECK_CODE(look(&view, NULL), SHMW_EMPTY);
    CHECK_U64(view.position, 0); /* so that the claim is found when it is committed */
    put(view.room.channel, "behind");
    struct shmw_dmxp_message message;
    CHECK_CODE(look(&view, &message), SHMW_OK);
    CHECK_U64(message.position, 2);
    view.position = 0;
    CHECK_CODE(shmw_dmxp_commit(view.room.channel, &claim, 0, NULL), SHMW_OK);
    CHECK_CODE(look(&view, &message), SHMW_OK);
    CHECK_U64(message.position, 1);
    leave_view(&view);
}

static void too_small_stays(void)
{
    struct view view = make_view((struct room_options){0});
    put(view.room.channel, "hello");
    struct shmw_dmxp_message message = {0};
    CHECK_CODE(shmw_dmxp_peek(view.channel, &view.position, buffer, 4, &message), SHMW_TOO_SMALL);
    CHECK_U64(message.length, 5);
    CHECK_U64(view.position, 0);
    CHECK_CODE(shmw_dmxp_peek(view.channel, &view.position, buffer, 5, &message), SHMW_OK);
    CHECK_CODE(shmw_dmxp_peek(view.channel, NULL, buffer, 5, &message), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_peek(view.channel, &view.position, NULL, 5, &message), SHMW_INVALID_ARGUMENT);
    CHECK_CODE(shmw_dmxp_peek(NULL, &view.position, buffer, 5, &message), SHMW_INVALID_ARGUMENT);
    leave_view(&view);
}

static void broken_messages_are_stepped_over(void)
{
    struct view view = make_view((struct room_options){0});
    for (int i = 0; i < 4; i++)
        put(view.room.channel, "x");
    raw_slot(&view.room.raw, 0, 0)->payload_len = 1025;
    raw_slot(&view.room.raw, 0, 1)->sequence = 77;
    raw_slot(&view.room.raw, 0, 2)->sequence = 10; /* free for the next lap, below tail and not below head */
    static const int want[] = {SHMW_CORRUPT, SHMW_CORRUPT, SHMW_CORRUPT, SHMW_OK, SHMW_EMPTY};
    for (size_t i = 0; i < 5; i++) {
        CHECK_CODE(look(&view, NULL), want[i]);
        CHECK_U64(view.position, i < 4 ? i + 1 : 4);
    }
    leave_view(&view);
}

/* Whatever the cursors say, a loop over peek ends. */
static void wild_cursors_end_the_loop(void)
{
    struct view view = make_view((struct room_options){0});
    const struct {
        uint64_t head, tail;
        int first;
    } cases[] = {{0, 9, SHMW_CORRUPT},
                 {5, 4, SHMW_CORRUPT},
                 {0, UINT64_MAX, SHMW_CORRUPT},
                 {UINT64_MAX, 0, SHMW_EMPTY},
                 {UINT64_MAX - 3, 2, SHMW_CORRUPT},
                 {UINT64_MAX, UINT64_MAX, SHMW_EMPTY}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        raw_channel(&view.room.raw, 0)->head = cases[i].head;
        raw_channel(&view.room.raw, 0)->tail = cases[i].tail;
        view.position = 0;
        int rc = look(&view, NULL);
        CHECK_CODE(rc, cases[i].first);
        unsigned looks = 0;
        while (rc != SHMW_EMPTY && looks++ < 20)
            rc = look(&view, NULL);
        CHECK_CODE(rc, SHMW_EMPTY);
    }
    leave_view(&view);
}

static void a_removed_channel_is_closed_at_its_end(void)
{
    struct view view = make_view((struct room_options){0});
    put(view.room.channel, "x");
    CHECK_CODE(shmw_dmxp_channel_remove(view.room.segment, 0), SHMW_OK);
    CHECK_CODE(look(&view, NULL), SHMW_OK);
    CHECK_CODE(look(&view, NULL), SHMW_CLOSED);
    leave_view(&view);
}

static void overwrite_behind_the_look(void *context)
{
    struct view *view = context;
    expect(view->room.channel, "old");
    put(view->room.channel, "mid");
    put(view->room.channel, "new"); /* capacity 2: into the slot that is being looked at */
}

/* [dmxp.peek.whole]: the message is consumed and overwritten between the first sequence and the copy. */
static void an_overwritten_copy_is_thrown_away(void)
{
    struct view view = make_view((struct room_options){.capacity = 2});
    put(view.room.channel, "old");
    unsigned char *page = trap_page(overwrite_behind_the_look, &view);
    CHECK_CODE(shmw_dmxp_peek(view.channel, &view.position, page, 64, NULL), SHMW_EMPTY);
    CHECK_U64(trap_hits(), 1);
    trap_drop();
    struct shmw_dmxp_message message;
    CHECK_CODE(look(&view, &message), SHMW_OK);
    CHECK_U64(message.position, 1);
    CHECK_BYTES(buffer, "mid", 3);
    leave_view(&view);
}

RUN_TESTS(TEST(looks_in_order_and_changes_nothing), TEST(steps_over_claims_and_tombstones), TEST(too_small_stays),
          TEST(broken_messages_are_stepped_over), TEST(wild_cursors_end_the_loop), TEST(a_removed_channel_is_closed_at_its_end),
          TEST(an_overwritten_copy_is_thrown_away))
