/* SPDX-License-Identifier: MIT
 *
 * Section 9: requests and replies. */
#include <stdio.h>
#include <string.h>

#include "support.h"

struct service {
    const char *name;
    shmw_shmcomm *replier;
    shmw_shmcomm *requester;
};

static struct service open_service(void)
{
    struct service service = {.name = fresh_name()};
    service.replier = enter_with(SHMW_SHMCOMM_REPLIER, service.name,
                                 (struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.endpoint = 5}});
    service.requester = enter_with(SHMW_SHMCOMM_REQUESTER, service.name,

(struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.endpoint = 9, .correlation_id = 100}});
    return service;
}

static void close_service(struct service *service)
{
    shmw_shmcomm_close(service->requester);
    shmw_shmcomm_close(service->replier);
    CHECK(!has_name(service->name) && !has_name(replies_of(service->name, 9)));
}

static struct shmw_shmcomm_message take(shmw_shmcomm *end, const char *text)
{
    struct shmw_shmcomm_message message;
    char buffer[64] = "";
    CHECK_CODE(shmw_shmcomm_receive(end, buffer, sizeof(buffer) - 1, 0, 0, &message), SHMW_OK);
    CHECK(strcmp(buffer, text) == 0);
    return message;
}

static int answer(shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, const char *text)
{
    return shmw_shmcomm_reply(replier, request, text, strlen(text), NULL, 0);
}

static void ask(shmw_shmcomm *requester, const char *text)
{
    CHECK_CODE(shmw_shmcomm_send(requester, text, strlen(text), NULL, 0, NULL), SHMW_OK);
}

/* [shmcomm.request.number, .correlation, .order], [shmcomm.reply.pair] */
static void a_request_gets_its_reply(void)
{
    struct service service = open_service();
    CHECK(has_name(replies_of(service.name, 9)));
    expect_answer(service.requester, SHMW_OUT_OF_ORDER);
    for (uint64_t i = 0; i < 200; i++) {
        ask(service.requester, "question");
        expect_answer(service.requester, SHMW_EMPTY);
        struct shmw_shmcomm_message request = take(service.replier, "question");
        CHECK_U64(request.sender, 9);
        CHECK_U64(request.correlation_id, 100 + i);
        CHECK(request.taken_ns != 0);
        CHECK_CODE(answer(service.replier, &request, "answer"), SHMW_OK);
        struct shmw_shmcomm_message reply = take(service.requester, "answer");
        CHECK_U64(reply.sender, 5);
        CHECK_U64(reply.correlation_id, 100 + i);
        CHECK_U64(reply.sequence, i);
        expect_answer(service.requester, SHMW_OUT_OF_ORDER);
    }
    CHECK_U64(info_of(service.requester).sent, 200);
    CHECK_U64(info_of(service.requester).received, 200);
    CHECK_U64(info_of(service.replier).sent, 200);
    struct shmw_shmcomm_message messages[1];
    unsigned char buffer[8];
    size_t count;
    CHECK_CODE(shmw_shmcomm_receive_batch(service.requester, buffer, 8, messages, 1, 0, 0, &count), SHMW_UNSUPPORTED);
    close_service(&service);
}

/* [shmcomm.request.late]: also one that is longer than the buffer. */
static void late_replies_are_thrown_away(void)
{
    struct service service = open_service();
    struct shmw_shmcomm_message requests[3];
    ask(service.requester, "one");
    requests[0] = take(service.replier, "one");
    ask(service.requester, "two");
    requests[1] = take(service.replier, "two");
    ask(service.requester, "three");
    requests[2] = take(service.replier, "three");
    CHECK_CODE(answer(service.replier, &requests[0], "a reply that is longer than what is waited for"), SHMW_OK);
    CHECK_CODE(answer(service.replier, &requests[2], "THREE"), SHMW_OK); /* in any order */
    CHECK_CODE(answer(service.replier, &requests[1], "TWO"), SHMW_OK);
    char buffer[5];
    struct shmw_shmcomm_message reply;
    CHECK_CODE(shmw_shmcomm_receive(service.requester, buffer, 4, 0, 0, &reply), SHMW_TOO_SMALL);
    CHECK_U64(reply.length, 5);
    CHECK_CODE(shmw_shmcomm_receive(service.requester, buffer, 5, 0, 0, &reply), SHMW_OK);
    CHECK_BYTES((unsigned char *)buffer, (const unsigned char *)"THREE", 5);
    CHECK_U64(info_of(service.requester).discarded, 1);
    ask(service.requester, "four"); /* TWO goes */
    CHECK_U64(info_of(service.requester).discarded, 2);
    requests[0] = take(service.replier, "four");
    CHECK_CODE(answer(service.replier, &requests[0], "FOUR"), SHMW_OK);
    take(service.requester, "FOUR");
    close_service(&service);
}

static void correlations_pass_over_zero(void)
{
    struct service service = open_service();
    shmw_shmcomm *last = enter_with(SHMW_SHMCOMM_REQUESTER, service.name,
                                    (struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.correlation_id = UINT64_MAX}});
    ask(last, "a");
    CHECK_U64(take(service.replier, "a").correlation_id, UINT64_MAX);
    ask(last, "b");
    CHECK_U64(take(service.replier, "b").correlation_id, 1);
    shmw_shmcomm_close(last);
    shmw_shmcomm *drawn[2];
    uint64_t first[2];
    for (int i = 0; i < 2; i++) {
        drawn[i] = enter(SHMW_SHMCOMM_REQUESTER, service.name);
        ask(drawn[i], "c");
        first[i] = take(service.replier, "c").correlation_id;
    }
    CHECK(first[0] != first[1] && first[0] != 0);
    shmw_shmcomm_close(drawn[0]);
    shmw_shmcomm_close(drawn[1]);
    close_service(&service);
}

/* [shmcomm.reply.vanished, .recreated] */
static void a_requester_that_is_gone(void)
{
    struct service service = open_service();
    ask(service.requester, "one");
    struct shmw_shmcomm_message first = take(service.replier, "one");
    CHECK_CODE(answer(service.replier, &first, "ONE"), SHMW_OK);
    take(service.requester, "ONE");
    ask(service.requester, "two");
    struct shmw_shmcomm_message second = take(service.replier, "two");
    shmw_shmcomm_close(service.requester);
    CHECK_CODE(answer(service.replier, &second, "TWO"), SHMW_CLOSED); /* by the state of the way that it has */
    CHECK_CODE(answer(service.replier, &second, "TWO"), SHMW_CLOSED); /* by the name that is not there */
    CHECK_U64(info_of(service.replier).unanswered, 2);
    CHECK(!has_name(replies_of(service.name, 9)));
    service.requester = enter_with(SHMW_SHMCOMM_REQUESTER, service.name,

(struct shmw_shmcomm_options){.capacity = SMALL, .identity = {.endpoint = 9, .correlation_id = 500}});
    ask(service.requester, "three");
    struct shmw_shmcomm_message third = take(service.replier, "three");
    CHECK_CODE(answer(service.replier, &third, "THREE"), SHMW_OK);
    take(service.requester, "THREE");
    struct shmw_shmcomm_message nobody = third;
    nobody.sender = 0;
    CHECK_CODE(answer(service.replier, &nobody, "x"), SHMW_CLOSED);
    nobody.sender = UINT32_C(1) << 31;
    CHECK_CODE(answer(service.replier, &nobody, "x"), SHMW_CLOSED);
    CHECK_CODE(answer(service.requester, &third, "x"), SHMW_UNSUPPORTED);
    CHECK_CODE(shmw_shmcomm_reply(service.replier, NULL, "x", 1, NULL, 0), SHMW_INVALID_ARGUMENT);
    close_service(&service);
}

/* A channel of another pattern in the place of a reply channel is left alone. */
static void something_else_has_the_name(void)
{
    struct service service = open_service();
    ask(service.requester, "one");
    struct shmw_shmcomm_message request = take(service.replier, "one");
    request.sender = 77;
    shmw_shmcomm *other = make(SHMW_SHMCOMM_PUSHER, replies_of(service.name, 77));
    CHECK_CODE(answer(service.replier, &request, "x"), SHMW_CLOSED);
    CHECK_U64(info_of(other).message_count, 0);
    shmw_shmcomm_close(service.replier); /* sweeps */
    CHECK(has_name(replies_of(service.name, 77)));
    shmw_shmcomm_close(other);
    shmw_shmcomm_close(service.requester);
}

static void a_full_reply_channel(void)
{
    struct service service = open_service();
    static char long_text[1500];
    struct shmw_shmcomm_message request;
    memset(long_text, 'x', sizeof(long_text) - 1);
    for (int i = 0; i < 2; i++) {
        ask(service.requester, "more");
        request = take(service.replier, "more");
        CHECK_CODE(answer(service.replier, &request, long_text), SHMW_OK);
        CHECK_CODE(answer(service.replier, &request, long_text), SHMW_OK);
    }
    CHECK_CODE(answer(service.replier, &request, long_text), SHMW_FULL);
    CHECK_CODE(shmw_shmcomm_reply(service.replier, &request, long_text, 1499, NULL, 10 * MS), SHMW_TIMEOUT);
    CHECK_CODE(shmw_shmcomm_reply(service.replier, &request, long_text, LARGEST + 1, NULL, 10 * MS), SHMW_TOO_LARGE);
    CHECK_U64(info_of(service.replier).refused, 2);
    CHECK_U64(info_of(service.replier).unanswered, 0);
    close_service(&service);
}

/* More requesters than a replier keeps ways to; and a number that is taken. */
static void many_requesters(void)
{
    enum { MANY = 40 };
    struct service service = open_service();
    shmw_shmcomm *requesters[MANY];
    for (int i = 0; i < MANY; i++)
        requesters[i] = enter_with(SHMW_SHMCOMM_REQUESTER, service.name, (struct shmw_shmcomm_options){.capacity = SMALL});
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            char text[32];
            snprintf(text, sizeof(text), "%d of %d", i, round);
            ask(requesters[i], text);
            const struct shmw_shmcomm_message request = take(service.replier, text);
            CHECK_U64(request.sender, info_of(requesters[i]).endpoint);
            CHECK_CODE(answer(service.replier, &request, text), SHMW_OK);
            take(requesters[i], text);
        }
    }
    CHECK_CODE(try_enter(SHMW_SHMCOMM_REQUESTER, service.name,
                         (struct shmw_shmcomm_options){.identity = {.endpoint = 9}}), SHMW_BUSY);
    for (int i = 0; i < MANY; i++)
        shmw_shmcomm_close(requesters[i]);
    close_service(&service);
}

RUN_TESTS(TEST(a_request_gets_its_reply), TEST(late_replies_are_thrown_away), TEST(correlations_pass_over_zero),
          TEST(a_requester_that_is_gone), TEST(something_else_has_the_name), TEST(a_full_reply_channel), TEST(many_requesters))
