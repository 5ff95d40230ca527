/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros behind the driver protocol: writing. */
#include "ouroboros.h"

#include <string.h>

static int write_items(struct request *rq, struct ouroboros *log, const cJSON *items, cJSON *results)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, items) {
        struct bytes data = {0};
        uint64_t sequence = 0;
        int rc = need_bytes(rq, item, "data", &data);
        if (rc == SHMW_OK)
            rc = shmw_ouroboros_write(log->writer, data.data, data.len, &sequence);
        if (rc != SHMW_OK)
            return rc;
        cJSON *result = push_object(results);
        put_text(result, "st", answer_word(rc));
        put_u64(result, "seq", sequence);
    }
    return SHMW_OK;
}

int ouroboros_write(struct request *rq, void *segment)
{
    struct ouroboros *log = segment;
    const char *mode = NULL;
    int rc = ouroboros_need_writer(rq, log);
    if (rc == SHMW_OK)
        rc = need_text(rq, rq->body, "mode", &mode);
    if (rc != SHMW_OK)
        return rc;
    /* A writer never waits, and batches are what it does anyway: the modes do the same. */
    if (strcmp(mode, "try") != 0 && strcmp(mode, "block") != 0 && strcmp(mode, "batch") != 0)
        return request_fail(rq, DRIVER_BAD_REQUEST, "mode is not try, block or batch");
    const cJSON *items = field(rq->body, "items");
    if (!cJSON_IsArray(items))
        return request_fail(rq, DRIVER_BAD_REQUEST, "items is missing or not an array");
    return write_items(rq, log, items, put_array(rq->ok, "results"));
}

/* Live ------------------------------------------------------------------------------------------------------------- */

int ouroboros_live_send(void *held, const struct live_message *messages, size_t count, uint64_t timeout_ns)
{
    struct ouroboros_port *port = held;
    (void)timeout_ns;
    for (size_t i = 0; i < count; i++) {
        const int rc = shmw_ouroboros_write(port->log->writer, messages[i].data, messages[i].length, NULL);
        if (rc != SHMW_OK)
            return rc;
    }
    return SHMW_OK;
}
