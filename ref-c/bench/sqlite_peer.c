/* SPDX-License-Identifier: MIT
 *
 * SQLite as a peer, as feeds are kept in it by those who have nothing else: one table by sequence, an index on time. Peers: "wal"
 * (write-ahead log, synchronous=NORMAL, transactions of 1,000 inserts, a checkpoint at the end, which is when all of it is on the
 * disk) and "seek-N" (the first record of a time or later, among 4 N records). */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

enum { TRANSACTION = 1000, STEP_NS = 10, SEEK_RECORDS = 4 };

static const char CREATE[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                             "CREATE TABLE IF NOT EXISTS record(sequence INTEGER PRIMARY KEY, timestamp_ns INTEGER, payload BLOB);"
                             "CREATE INDEX IF NOT EXISTS record_time ON record(timestamp_ns);";
static const char INSERT[] = "INSERT INTO record VALUES(?1, ?2, ?3)";
static const char SCAN[] = "SELECT sequence, payload FROM record ORDER BY sequence";
static const char SEEK[] = "SELECT sequence, payload FROM record WHERE timestamp_ns >= ?1 ORDER BY timestamp_ns LIMIT 1";

static void check(sqlite3 *db, int code)
{
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return;
    fprintf(stderr, "bench: sqlite: %s\n", sqlite3_errmsg(db));
    exit(2);
}

static void run_sql(sqlite3 *db, const char *sql)
{
    check(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static sqlite3 *open_at(const struct bench_args *args, const char *what)
{
    char path[1024];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s.%s.db", args->seg, what);
    check(NULL, sqlite3_open(path, &db));
    run_sql(db, CREATE);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    check(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    return statement;
}

static void insert_all(sqlite3 *db, const struct bench_args *args, uint64_t records)
{
    sqlite3_stmt *insert = prepare(db, INSERT);
    unsigned char *payload = calloc(1, args->size + 8);
    if (payload == NULL)
        bench_fail("calloc");
    for (uint64_t i = 0; i < records; i++) {
        if (i % TRANSACTION == 0)
            run_sql(db, "BEGIN");
        bench_fill(payload, args->size, i);
        check(db, sqlite3_bind_int64(insert, 1, (int64_t)i));
        check(db, sqlite3_bind_int64(insert, 2, (int64_t)(i * STEP_NS)));
        check(db, sqlite3_bind_blob(insert, 3, payload, (int)args->size, SQLITE_STATIC));
        check(db, sqlite3_step(insert));
        check(db, sqlite3_reset(insert));
        if (i % TRANSACTION == TRANSACTION - 1 || i + 1 == records)
            run_sql(db, "COMMIT");
    }
    check(db, sqlite3_finalize(insert));
    run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    free(payload);
}

static bool row_good(sqlite3_stmt *row, const struct bench_args *args, uint64_t i, struct bench_result *result)
{
    const void *payload = sqlite3_column_blob(row, 1);
    if (sqlite3_column_int64(row, 0) != (int64_t)i || (size_t)sqlite3_column_bytes(row, 1) != args->size)
        return false;
    result->sum += args->size > 0 ? bench_sum(payload, args->size) : 0;
    return args->size == 0 || bench_check(payload, args->size, i);
}

static void scan(sqlite3 *db, const struct bench_args *args, struct bench_result *result)
{
    sqlite3_stmt *select = prepare(db, SCAN);
    const uint64_t records = bench_scanned(args);
    for (uint64_t i = 0, at = 0; i < args->count; i++, at++) {
        if (at == records) {
            check(db, sqlite3_reset(select));
            at = 0;
        }
        const int code = sqlite3_step(select);
        check(db, code);
        result->bad += code != SQLITE_ROW || !row_good(select, args, at, result);
    }
    check(db, sqlite3_finalize(select));
}

static void seek(sqlite3 *db, const struct bench_args *args, uint64_t records, struct bench_result *result)
{
    sqlite3_stmt *select = prepare(db, SEEK);
    uint64_t *samples = bench_samples(args->count);
    uint64_t state = 1;
    for (uint64_t i = 0; i < args->count; i++) {
        const uint64_t wanted = bench_anywhere(&state, records);
        const uint64_t began = bench_now_ns();
        check(db, sqlite3_bind_int64(select, 1, (int64_t)(wanted * STEP_NS)));
        const int code = sqlite3_step(select);
        check(db, code);
        result->bad += code != SQLITE_ROW || !row_good(select, args, wanted, result);
        check(db, sqlite3_reset(select));
        samples[i] = bench_now_ns() - began;
    }
    bench_percentiles(samples, (size_t)args->count, result);
    bench_samples_free(samples, args->count);
    check(db, sqlite3_finalize(select));
}

/* Scans and seeks go over "before", which is there before the barrier; inserts go to "now". */
int main(int argc, char **argv)
{
    struct bench_args args = bench_parse(argc, argv);
    uint64_t chunks = 0;
    (void)sscanf(args.peer, "seek-%" SCNu64, &chunks);
    sqlite3 *db = open_at(&args, args.role == BENCH_WRITE ? "now" : "before");
    if (args.role == BENCH_MAKE) {
        insert_all(db, &args, chunks > 0 ? chunks * SEEK_RECORDS : bench_scanned(&args));
        check(db, sqlite3_close(db));
        return 0;
    }
    bench_pin(&args);
    struct bench_result result = {.messages = args.count};
    const uint64_t began = bench_barrier(&args);
    if (args.role == BENCH_WRITE)
        insert_all(db, &args, args.count);
    else if (chunks > 0)
        seek(db, &args, chunks * SEEK_RECORDS, &result);
    else
        scan(db, &args, &result);
    result.ns = bench_now_ns() - began;
    check(db, sqlite3_close(db));
    return bench_report(&args, &result);
}
