/* SPDX-License-Identifier: MIT
 *
 * Ends of channels in processes of their own; some are killed, some fork, some run other programs, some live in another pid
 * namespace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "ofd.h"
#include "support.h"

#define LONG (20000 * MS)
#define MOST 100000

/* What processes tell each other: zeroed memory that they share. */
struct board {
    _Atomic(uint32_t) ready;
    _Atomic(uint32_t) over;
    _Atomic(uint32_t) number;
    _Atomic(uint64_t) written;
    _Atomic(uint32_t) got[MOST]; /* by message: how many times */
};

struct party {
    const char *name;
    struct board *board;
    enum shmw_shmcomm_role role;
};

static struct board *make_board(void)
{
    void *board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    return board;
}

static void await(_Atomic(uint32_t) *word, uint32_t value)
{
    const uint64_t limit = now_ns() + LONG;
    while (shmw_load_acquire(word) < value) {
        CHECK(now_ns() < limit);
        nap_ms(1);
    }
}

static void kill_child(int child)
{
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_U64(child_status(child), 128 + SIGKILL);
}

/* Killed with the lock ------------------------------------------------------------------------------------------------ */

static void claim_and_hang(void *context)
{
    const struct party *party = context;
    struct shmw_shmcomm_claim claim;
    shmw_shmcomm *end = enter(party->role, party->name);
    CHECK_CODE(shmw_shmcomm_claim(end, 100, NULL, 0, &claim), SHMW_OK);
    memset(claim.data, 0xee, claim.length);
    shmw_store_relaxed(&party->board->number, info_of(end).endpoint);
    shmw_store_release(&party->board->ready, 1);
    for (;;)
        pause();
}

/* [shmcomm.lock.dead]: nothing that was visible is lost, and what was not stays so. */
static void a_killed_writer_is_replaced(void)
{
    static const enum shmw_shmcomm_role roles[] = {SHMW_SHMCOMM_PUBLISHER, SHMW_SHMCOMM_PUSHER};
    for (size_t i = 0; i < 2; i++) {
        struct party party = {.name = fresh_name(), .board = make_board(), .role = roles[i]};
        shmw_shmcomm *end = make(party.role, party.name);
        shmw_shmcomm *reader = enter(i == 0 ? SHMW_SHMCOMM_SUBSCRIBER : SHMW_SHMCOMM_PULLER, party.name);
        struct raw raw = raw_open(party.name);
        put(end, 0, 10);
        const int child = start_child(claim_and_hang, &party);
        await(&party.board->ready, 1);
        CHECK_U64(raw_header(&raw)->writer_lock, shmw_load_relaxed(&party.board->number));
        CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_BUSY);
        kill_child(child);
        put(end, 1, 20);
        CHECK_U64(raw_header(&raw)->lock_epoch, 1);
        CHECK_U64(raw_header(&raw)->writer_lock, 0);
        expect(reader, 0, 10, 0);
        expect(reader, 1, 20, 0);
        expect_answer(reader, SHMW_EMPTY);
        raw_close(&raw);
        shmw_shmcomm_close(end);
        shmw_shmcomm_close(reader);
        munmap(party.board, sizeof(*party.board));
    }
}

/* [shmcomm.join.takeover]: of a channel whose keepers were all killed. */
static void a_stale_channel_is_taken_over(void)
{
    struct party party = {.name = fresh_name(), .board = make_board(), .role = SHMW_SHMCOMM_PUBLISHER};
    const int child = start_child(claim_and_hang, &party); /* it makes the channel */
    await(&party.board->ready, 1);
    shmw_shmcomm *reader = enter(SHMW_SHMCOMM_SUBSCRIBER, party.name);
    const struct shmw_shmcomm_info before = info_of(reader);
    CHECK(before.keeper_lives);
    CHECK_CODE(shmw_shmcomm_remove(party.name, true), SHMW_BUSY);
    kill_child(child);
    CHECK(!info_of(reader).keeper_lives);
    expect_answer(reader, SHMW_EMPTY); /* stale is not closed */
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, party.name,
                                   (struct shmw_shmcomm_options){.identity = {.endpoint = 12}});
    const struct shmw_shmcomm_info after = info_of(reader);
    CHECK_U64(after.instance, before.instance);
    CHECK_U64(after.owner_endpoint, 12);
    CHECK_U64(after.owner_pid, (uint32_t)getpid());
    CHECK(after.keeper_lives);
    put(end, 0, 10); /* over the dead one's lock */
    expect(reader, 0, 10, 0);
    shmw_shmcomm_close(end);
    expect_answer(reader, SHMW_CLOSED);
    shmw_shmcomm_close(reader);
    munmap(party.board, sizeof(*party.board));
}

/* A requester that is killed leaves nothing behind ------------------------------------------------------------------------ */

static void ask_and_hang(void *context)
{
    const struct party *party = context;
    shmw_shmcomm *end = enter(SHMW_SHMCOMM_REQUESTER, party->name);
    CHECK_CODE(shmw_shmcomm_send(end, "q", 1, NULL, 0, NULL), SHMW_OK);
    shmw_store_relaxed(&party->board->number, info_of(end).endpoint);
    shmw_store_release(&party->board->ready, 1);
    for (;;)
        pause();
}

enum sweeper { BY_REPLY, BY_OLD_REPLY, BY_OPENING, BY_CLOSING, BY_RECOVERY, BY_SLEEP, BY_SUCCESSOR, SWEEPERS };

static void sweep(enum sweeper how, struct party *party, shmw_shmcomm **replier, const struct shmw_shmcomm_message *request)
{
    struct shmw_shmcomm_recovered found;
    shmw_shmcomm *other;
    unsigned char nothing[8];
    switch (how) {
    case BY_REPLY:
    case BY_OLD_REPLY: /* [shmcomm.reply.vanished] */
        CHECK_CODE(shmw_shmcomm_reply(*replier, request, "r", 1, NULL, 0), SHMW_CLOSED);
        CHECK_U64(info_of(*replier).unanswered, 1);
        break;
    case BY_OPENING:
        other = enter(SHMW_SHMCOMM_REPLIER, party->name);
        CHECK(!has_name(replies_of(party->name, shmw_load_relaxed(&party->board->number))));
        shmw_shmcomm_close(other);
        break;
    case BY_CLOSING:
        shmw_shmcomm_close(*replier);
        *replier = NULL;
        break;
    case BY_RECOVERY:
        CHECK_CODE(shmw_shmcomm_recover(party->name, &found), SHMW_OK);
        CHECK_U64(found.swept, 1);
        break;
    case BY_SLEEP:
        CHECK_CODE(shmw_shmcomm_receive(*replier, nothing, 8, 1200 * MS, 0, NULL), SHMW_TIMEOUT);
        break;
    default:
        other = enter_with(SHMW_SHMCOMM_REQUESTER, party->name,
                           (struct shmw_shmcomm_options){.identity = {.endpoint = shmw_load_relaxed(&party->board->number)}});
        shmw_shmcomm_close(other);
    }
}

/* [shmcomm.reply.sweep] */
static void a_killed_requester_is_swept(void)
{
    for (enum sweeper how = 0; how < SWEEPERS; how++) {
        struct party party = {.name = fresh_name(), .board = make_board()};
        struct shmw_shmcomm_message request;
        unsigned char text[8];
        shmw_shmcomm *replier = make(SHMW_SHMCOMM_REPLIER, party.name);
        const int child = start_child(ask_and_hang, &party);
        await(&party.board->ready, 1);
        const char *replies = replies_of(party.name, shmw_load_relaxed(&party.board->number));
        CHECK_CODE(shmw_shmcomm_receive(replier, text, 8, 0, 0, &request), SHMW_OK);
        if (how == BY_OLD_REPLY)
            CHECK_CODE(shmw_shmcomm_reply(replier, &request, "r", 1, NULL, 0), SHMW_OK);
        CHECK(has_name(replies));
        kill_child(child);
        CHECK(has_name(replies));
        if (how == BY_OLD_REPLY) /* as if it had been taken long ago: its requester lived then */
            request.taken_ns = now_ns() - SHMW_SHMCOMM_LIVENESS_AGE_NS;
        sweep(how, &party, &replier, &request);
        CHECK(!has_name(replies));
        shmw_shmcomm_close(replier);
        munmap(party.board, sizeof(*party.board));
    }
}

/* Writers and pullers killed at any moment ------------------------------------------------------------------------------ */

struct tagged {
    uint64_t number;
    unsigned char rest[232];
};

static void push_for_ever(void *context)
{
    const struct party *party = context;
    shmw_shmcomm *end = enter(SHMW_SHMCOMM_PUSHER, party->name);
    shmw_store_release(&party->board->ready, 1);
    for (uint64_t n = shmw_load_relaxed(&party->board->written); n < MOST - 1; n++) {
        struct tagged message = {.number = n};
        memset(message.rest, (int)(n & 0xff), sizeof(message.rest));
        if (shmw_shmcomm_send(end, &message, sizeof(message) - n % 200, NULL, 5 * MS, NULL) != SHMW_OK)
            n--;
        else
            shmw_store_relaxed(&party->board->written, n + 1);
    }
    for (;;) /* the board is full, but for the keeper's last message: a fast pusher is killed all the same */
        pause();
}

static void note(const struct party *party, const struct tagged *message, size_t length)
{
    CHECK(message->number < MOST);
    CHECK_U64(length, sizeof(*message) - message->number % 200);
    for (size_t i = 8; i < length; i++)
        CHECK_U64(message->rest[i - 8], message->number & 0xff);
    shmw_add_relaxed(&party->board->got[message->number], 1);
}

static void pull_for_ever(void *context)
{
    const struct party *party = context;
    shmw_shmcomm *end = enter(SHMW_SHMCOMM_PULLER, party->name);
    shmw_store_release(&party->board->ready, 1);
    while (shmw_load_acquire(&party->board->over) == 0) {
        struct tagged message;
        struct shmw_shmcomm_message got;
        const int rc = shmw_shmcomm_receive(end, &message, sizeof(message), 5 * MS, 0, &got);
        if (rc == SHMW_OK)
            note(party, &message, got.length);
    }
    shmw_shmcomm_close(end);
}

/* One message a kill may be lost (taken, and not noted yet) or sent again (sent, and not counted yet); everything else comes
 * once. */
static void killed_at_any_moment(void)
{
    enum { KILLS = 40 };
    struct party party = {.name = fresh_name(), .board = make_board()};
    shmw_shmcomm *keeper = make(SHMW_SHMCOMM_PUSHER, party.name);
    shmw_shmcomm *observer = enter(SHMW_SHMCOMM_OBSERVER, party.name);
    uint64_t seed = (uint64_t)getpid() * UINT64_C(2654435761) + 1;
    printf("  seed %llu\n", (unsigned long long)seed);
    const int steady = start_child(pull_for_ever, &party);
    unsigned pushers = 0;
    unsigned pullers = 0;
    for (unsigned kills = 0; kills < KILLS; kills++) {
        const bool push = draw(&seed, 2) == 0;
        shmw_store_release(&party.board->ready, 0);
        const int child = start_child(push ? push_for_ever : pull_for_ever, &party);
        const int other = push ? 0 : start_child(push_for_ever, &party);
        await(&party.board->ready, 1);
        usleep((useconds_t)draw(&seed, 3000));
        kill_child(child);
        if (!push)
            kill_child(other);
        pushers++;
        pullers += !push;
    }
    const struct tagged last = {.number = shmw_load_relaxed(&party.board->written)};
    struct tagged message = last;
    memset(message.rest, (int)(last.number & 0xff), sizeof(message.rest));
    CHECK_CODE(shmw_shmcomm_send(keeper, &message, sizeof(message) - last.number % 200, NULL, LONG, NULL), SHMW_OK);
    const uint64_t limit = now_ns() + LONG;
    while (info_of(observer).head != info_of(observer).tail) {
        CHECK(now_ns() < limit);
        nap_ms(1);
    }
    shmw_store_release(&party.board->over, 1);
    CHECK_U64(child_status(steady), 0);
    unsigned lost = 0;
    unsigned twice = 0;
    for (uint64_t n = 0; n <= last.number; n++) {
        const uint32_t got = shmw_load_relaxed(&party.board->got[n]);
        lost += got == 0;
        twice += got > 1 ? got - 1 : 0;
    }
    CHECK(lost <= pullers && twice <= pushers + 1);
    const struct shmw_shmcomm_info info = info_of(observer);
    CHECK(info.message_count >= last.number + 1 - lost && info.writer_lock == 0);
    CHECK_CODE(shmw_shmcomm_validate(observer, NULL, NULL), SHMW_OK);
    shmw_shmcomm_close(observer);
    shmw_shmcomm_close(keeper);
    munmap(party.board, sizeof(*party.board));
}

/* Fork ------------------------------------------------------------------------------------------------------------------- */

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

struct inherited {
    shmw_shmcomm *writer;
    shmw_shmcomm *reader;
    shmw_shmcomm *replier;
    shmw_shmcomm *requester;
    struct board *board;
    unsigned descriptors;
    const char *name;
};

/* [shmcomm.endpoint.fork] */
static void live_as_a_child(void *context)
{
    const struct inherited *inherited = context;
    struct shmw_shmcomm_info info;
    struct shmw_shmcomm_message message = {.sender = 1};
    unsigned char buffer[16];
    CHECK_U64(open_descriptors(), inherited->descriptors - 4); /* writer, replier, requester twice; the reader's stays */
    CHECK_CODE(shmw_shmcomm_send(inherited->writer, "x", 1, NULL, 0, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_info(inherited->writer, &info), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_receive(inherited->replier, buffer, 16, 0, 0, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_reply(inherited->replier, &message, "x", 1, NULL, 0), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_send(inherited->requester, "x", 1, NULL, 0, NULL), SHMW_OUT_OF_ORDER);
    CHECK_CODE(shmw_shmcomm_receive(inherited->requester, buffer, 16, 0, 0, NULL), SHMW_OUT_OF_ORDER);
    expect(inherited->reader, 0, 10, 0); /* its own cursor */
    shmw_shmcomm *own = enter(SHMW_SHMCOMM_PUBLISHER, inherited->name);
    put(own, 1, 11);
    shmw_shmcomm_close(inherited->writer);
    shmw_shmcomm_close(inherited->replier);
    shmw_shmcomm_close(inherited->requester);
    CHECK(has_name(inherited->name));
    put(own, 2, 12);
    shmw_store_release(&inherited->board->ready, 1);
    await(&inherited->board->over, 1);
    shmw_shmcomm_close(own);
    shmw_shmcomm_close(inherited->reader);
}

static void a_child_has_ends_of_its_own(void)
{
    struct inherited inherited = {.name = fresh_name(), .board = make_board()};
    const char *service = fresh_name();
    inherited.writer = make(SHMW_SHMCOMM_PUBLISHER, inherited.name);
    inherited.reader = enter(SHMW_SHMCOMM_SUBSCRIBER, inherited.name);
    inherited.replier = make(SHMW_SHMCOMM_REPLIER, service);
    inherited.requester = enter(SHMW_SHMCOMM_REQUESTER, service);
    put(inherited.writer, 0, 10);
    inherited.descriptors = open_descriptors();
    const int child = start_child(live_as_a_child, &inherited);
    await(&inherited.board->ready, 1);
    for (uint64_t n = 0; n < 3; n++)
        expect(inherited.reader, n, 10 + n, 0);
    CHECK(has_name(service));
    shmw_shmcomm_close(inherited.requester);
    shmw_shmcomm_close(inherited.replier);
    CHECK(!has_name(service)); /* the child does not keep it */
    shmw_shmcomm_close(inherited.writer);
    CHECK(has_name(inherited.name)); /* the child does */
    shmw_store_release(&inherited.board->over, 1);
    CHECK_U64(child_status(child), 0);
    CHECK(!has_name(inherited.name));
    expect_answer(inherited.reader, SHMW_CLOSED);
    shmw_shmcomm_close(inherited.reader);
    munmap(inherited.board, sizeof(*inherited.board));
}

static void hang(void *context)
{
    (void)context;
    for (;;)
        pause();
}

/* A parent that is killed is dead, though a child of it lives on. */
static void be_a_parent(void *context)
{
    struct party *party = context;
    shmw_shmcomm *end = enter_with(SHMW_SHMCOMM_PUBLISHER, party->name, (struct shmw_shmcomm_options){.sole = true});
    CHECK(end != NULL);
    shmw_store_relaxed(&party->board->number, (uint32_t)start_child(hang, NULL));
    shmw_store_release(&party->board->ready, 1);
    hang(NULL);
}

static void a_child_does_not_keep_its_parent_alive(void)
{
    struct party party = {.name = fresh_name(), .board = make_board()};
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, party.name);
    const int child = start_child(be_a_parent, &party);
    await(&party.board->ready, 1);
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_BUSY);
    kill_child(child);
    put(end, 0, 10);
    CHECK_U64(info_of(end).takeovers, 1);
    CHECK(kill((pid_t)shmw_load_relaxed(&party.board->number), SIGKILL) == 0);
    shmw_shmcomm_close(end);
    munmap(party.board, sizeof(*party.board));
}

/* [shmcomm.endpoint.exec] */
static void every_descriptor_is_close_on_exec(void)
{
    const char *names[] = {fresh_name(), fresh_name()};
    const unsigned before = open_descriptors();
    shmw_shmcomm *ends[] = {make(SHMW_SHMCOMM_PUBLISHER, names[0]), enter(SHMW_SHMCOMM_SUBSCRIBER, names[0]),
                            enter(SHMW_SHMCOMM_OBSERVER, names[0]), make(SHMW_SHMCOMM_REPLIER, names[1]),
                            enter(SHMW_SHMCOMM_REQUESTER, names[1])};
    unsigned found = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64];
        char target[256] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, "/dev/shm/shmw-refc-", 19) == 0) {
            CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
            found++;
        }
    }
    CHECK_U64(found, 6);
    for (size_t i = sizeof(ends) / sizeof(ends[0]); i > 0; i--)
        shmw_shmcomm_close(ends[i - 1]);
    CHECK_U64(open_descriptors(), before);
}

/* Namespaces ------------------------------------------------------------------------------------------------------------- */

/* Process 1 of a namespace of its own, if the system lets us; else a process as any other. */
static void live_elsewhere(void *context)
{
    struct party *party = context;
    const bool apart = unshare(CLONE_NEWPID) == 0;
    if (!apart)
        CHECK(errno == EPERM || errno == EINVAL || errno == ENOSYS);
    const pid_t inner = fork();
    CHECK(inner >= 0);
    if (inner == 0) {
        CHECK(apart == (getpid() == 1));
        claim_and_hang(party);
    }
    shmw_store_relaxed(&party->board->over, apart ? 2 : 1);
    int status;
    waitpid(inner, &status, 0);
    _exit(0);
}

/* Numbers of processes mean nothing to each other there: an owner is found alive, and found dead, all the same. */
static void another_pid_namespace(void)
{
    struct party party = {.name = fresh_name(), .board = make_board(), .role = SHMW_SHMCOMM_PUBLISHER};
    shmw_shmcomm *end = make(SHMW_SHMCOMM_PUBLISHER, party.name);
    struct raw raw = raw_open(party.name);
    const int child = start_child(live_elsewhere, &party);
    await(&party.board->ready, 1);
    await(&party.board->over, 1);
    printf("  %s\n", shmw_load_acquire(&party.board->over) == 2 ? "in a namespace of its own"
                                                                           : "without one: not permitted here");
    CHECK_CODE(shmw_shmcomm_send(end, "x", 1, NULL, 0, NULL), SHMW_BUSY);
    /* The owner is known by its lock alone: its byte is held, and no process id of it is anywhere in the segment. */
    char path[512];
    CHECK_CODE(shmw_path(party.name, path, sizeof(path)), SHMW_OK);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_CODE(shmw_ofd_ask(fd, shmw_load_relaxed(&party.board->number), 1), SHMW_BUSY);
    CHECK_U64(raw_header(&raw)->owner_pid, (uint32_t)getpid());
    char parent[64];
    snprintf(parent, sizeof(parent), "/proc/%d/task/%d/children", child, child);
    FILE *children = fopen(parent, "re");
    int inner = 0;
    CHECK(children != NULL && fscanf(children, "%d", &inner) == 1);
    fclose(children);
    CHECK(kill(inner, SIGKILL) == 0);
    CHECK_U64(child_status(child), 0);
    CHECK_CODE(shmw_ofd_ask(fd, shmw_load_relaxed(&party.board->number), 1), SHMW_OK);
    close(fd);
    put(end, 0, 10);
    CHECK_U64(raw_header(&raw)->lock_epoch, 1);
    raw_close(&raw);
    shmw_shmcomm_close(end);
    munmap(party.board, sizeof(*party.board));
}

RUN_TESTS(TEST(a_killed_writer_is_replaced), TEST(a_stale_channel_is_taken_over), TEST(a_killed_requester_is_swept),
          TEST(killed_at_any_moment), TEST(a_child_has_ends_of_its_own), TEST(a_child_does_not_keep_its_parent_alive),
          TEST(every_descriptor_is_close_on_exec), TEST(another_pid_namespace))
