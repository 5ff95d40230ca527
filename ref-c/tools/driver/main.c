/* SPDX-License-Identifier: MIT
 *
 * shmwire-driver-c: the C implementation behind driver protocol 1 (spec/driver-protocol.md). One request a line on standard
 * input, one reply a line on standard output. This file knows lines; commands.c knows commands and profiles. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

#define LONGEST_LINE (1u << 20) /* bytes, LF included */

static bool deaf; /* nobody reads our replies any more */

/* A truncated mapping -------------------------------------------------------------------------------------------------- */

static sigjmp_buf fault_return;
static volatile sig_atomic_t fault_expected;

/* Only accesses to a mapping raise SIGBUS, and the library holds no lock of the C library during one: jumping out is safe. What
 * the handler of the request had allocated belongs to the request. */
static void on_sigbus(int number)
{
    if (fault_expected) {
        fault_expected = 0;
        siglongjmp(fault_return, 1);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_sigbus(void)
{
    struct sigaction action = {.sa_handler = on_sigbus};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

/* Lines -------------------------------------------------------------------------------------------------------------- */

static void answer(FILE *out, struct request *rq, int rc)
{
    cJSON *reply = cJSON_CreateObject();
    const cJSON *id = field(rq->body, "id");
    cJSON_AddItemToObject(reply, "id", id != NULL ? cJSON_Duplicate(id, true) : cJSON_CreateNull());
    if (rc == SHMW_OK) {
        cJSON_AddItemToObject(reply, "ok", rq->ok);
        rq->ok = NULL;
    } else {
        cJSON *err = put_object(reply, "err");
        put_text(err, "code", error_word(rc));
        put_text(err, "detail", rq->detail[0] != '\0' ? rq->detail : shmw_strerror(rc));
        if (rc == SHMW_TOO_SMALL)
            put_u64(err, "needed", rq->needed);
        const cJSON *done = field(rq->ok, "done"); /* of a call that did a part of what it was asked for */
        if (done != NULL)
            cJSON_AddItemToObject(err, "done", cJSON_Duplicate(done, false));
    }
    char *text = cJSON_PrintUnformatted(reply);
    if (text == NULL)
        abort();
    fputs(text, out);
    fputc('\n', out);
    if (fflush(out) != 0)
        deaf = true;
    cJSON_free(text);
    cJSON_Delete(reply);
}

static void handle_line(FILE *out, const char *line)
{
    static struct request rq; /* static: its value must survive siglongjmp */
    rq = (struct request){.body = cJSON_ParseWithOpts(line, NULL, true), .ok = cJSON_CreateObject()};
    int rc;
    if (!cJSON_IsObject(rq.body) || !(cJSON_IsNumber(field(rq.body, "id")) || field(rq.body, "id") == NULL)) {
        rc = request_fail(&rq, DRIVER_BAD_REQUEST, "not a JSON object with a numeric id");
        cJSON_Delete(rq.body);
        rq.body = NULL;
    } else if (sigsetjmp(fault_return, 1) == 0) {
        fault_expected = 1;
        rc = commands_run(&rq);
    } else {
        rc = request_fail(&rq, SHMW_TRUNCATED, "SIGBUS: the segment was shortened under its mapping");
    }
    fault_expected = 0;
    if (rc == SHMW_SYSTEM && rq.detail[0] == '\0')
        request_fail(&rq, rc, "%s", strerror(errno));
    answer(out, &rq, rc);
    request_free(&rq);
}

/* Read one line without its LF into *line. false at the end of the input. A line above the limit comes back as an empty one. */
static bool next_line(char **line, size_t *room)
{
    uint64_t length = 0;
    for (int c = getchar(); c != '\n'; c = getchar()) {
        if (c == EOF)
            return false;
        if (length + 1 >= *room && *room < LONGEST_LINE) {
            *room = *room < 4096 ? 4096 : *room * 2;
            *line = realloc(*line, *room);
            if (*line == NULL)
                abort();
        }
        if (length + 1 < *room)
            (*line)[length] = (char)c;
        length++;
    }
    if (*line == NULL && (*line = malloc(*room = 4096)) == NULL)
        abort();
    (*line)[length < *room ? length : 0] = '\0';
    if (length < *room && memchr(*line, '\0', (size_t)length) != NULL)
        (*line)[0] = '\0';
    return true;
}

int main(void)
{
    /* Replies go to what standard output was; whatever else prints ends up on standard error. */
    const int replies = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    FILE *out = replies >= 0 ? fdopen(replies, "w") : NULL;
    if (out == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        perror("shmwire-driver-c: standard output");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    catch_sigbus();
    char *line = NULL;
    size_t room = 0;
    while (!deaf && !commands_leaving() && next_line(&line, &room))
        handle_line(out, line);
    commands_drop_everything();
    free(line);
    fclose(out);
    return 0;
}
