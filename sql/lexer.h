/* The lexer: text of a statement or script to tokens, one at a time, without allocation.
 *
 * Words keep their spelling; a word that is a keyword also carries its number. Reserved keywords
 * can not be names without quotes, all others can be names everywhere; whether `first` is a keyword
 * or a column is the parser's decision. Quotes stay in the raw text: tni_token_text takes them off.
 *
 * A lexer is a plain struct: copying it saves the position (look-ahead is lexing a copy).
 *
 * Ownership: tokens borrow the text. @thread any, one owner
 */
#ifndef TN_SQL_LEXER_H
#define TN_SQL_LEXER_H

#include "stream/base/arena.h"
#include "stream/base/status.h"
#include "stream/base/str.h"

/* XX(WORD, is_reserved), in byte order (checked by the unit test). */
#define TNI_KEYWORD_MAP(XX)                                                                        \
    XX(ADD, 0)                                                                                     \
    XX(ADVANCE, 0)                                                                                 \
    XX(ALL, 0)                                                                                     \
    XX(ALTER, 0)                                                                                   \
    XX(ANALYZE, 0)                                                                                 \
    XX(AND, 1)                                                                                     \
    XX(ANY, 0)                                                                                     \
    XX(ARRAY, 0)                                                                                   \
    XX(ARRIVAL, 0)                                                                                 \
    XX(AS, 1)                                                                                      \
    XX(ASC, 0)                                                                                     \
    XX(ASSERT, 0)                                                                                  \
    XX(ASYMMETRIC, 0)                                                                              \
    XX(AT, 0)                                                                                      \
    XX(AUTHORIZATION, 0)                                                                           \
    XX(BEGINNING, 0)                                                                               \
    XX(BERNOULLI, 0)                                                                               \
    XX(BETWEEN, 1)                                                                                 \
    XX(BOTH, 0)                                                                                    \
    XX(BRANCHES, 0)                                                                                \
    XX(BY, 1)                                                                                      \
    XX(CALL, 0)                                                                                    \
    XX(CASCADE, 0)                                                                                 \
    XX(CASE, 1)                                                                                    \
    XX(CAST, 1)                                                                                    \
    XX(CATALOG, 0)                                                                                 \
    XX(CATALOGS, 0)                                                                                \
    XX(CHANGES, 0)                                                                                 \
    XX(COLUMN, 0)                                                                                  \
    XX(COLUMNS, 0)                                                                                 \
    XX(COMMENT, 0)                                                                                 \
    XX(COMMIT, 0)                                                                                  \
    XX(COMMITTED, 0)                                                                               \
    XX(CONNECTOR, 0)                                                                               \
    XX(CONNECTORS, 0)                                                                              \
    XX(CREATE, 1)                                                                                  \
    XX(CRON, 0)                                                                                    \
    XX(CROSS, 1)                                                                                   \
    XX(CUBE, 0)                                                                                    \
    XX(CURRENT, 0)                                                                                 \
    XX(CURRENT_CATALOG, 1)                                                                         \
    XX(CURRENT_DATE, 1)                                                                            \
    XX(CURRENT_PATH, 1)                                                                            \
    XX(CURRENT_ROLE, 1)                                                                            \
    XX(CURRENT_SCHEMA, 1)                                                                          \
    XX(CURRENT_TIME, 1)                                                                            \
    XX(CURRENT_TIMESTAMP, 1)                                                                       \
    XX(CURRENT_USER, 1)                                                                            \
    XX(DATA, 0)                                                                                    \
    XX(DATE, 0)                                                                                    \
    XX(DAY, 0)                                                                                     \
    XX(DAYS, 0)                                                                                    \
    XX(DEALLOCATE, 0)                                                                              \
    XX(DEFAULT, 0)                                                                                 \
    XX(DEFINE, 0)                                                                                  \
    XX(DEFINER, 0)                                                                                 \
    XX(DELETE, 0)                                                                                  \
    XX(DENY, 0)                                                                                    \
    XX(DESC, 0)                                                                                    \
    XX(DESCRIBE, 0)                                                                                \
    XX(DISTINCT, 1)                                                                                \
    XX(DISTRIBUTED, 0)                                                                             \
    XX(DOUBLE, 0)                                                                                  \
    XX(DROP, 1)                                                                                    \
    XX(ELSE, 1)                                                                                    \
    XX(EMIT, 0)                                                                                    \
    XX(END, 1)                                                                                     \
    XX(ESCAPE, 1)                                                                                  \
    XX(EVERY, 0)                                                                                   \
    XX(EXCEPT, 1)                                                                                  \
    XX(EXCLUDING, 0)                                                                               \
    XX(EXECUTE, 0)                                                                                 \
    XX(EXISTS, 1)                                                                                  \
    XX(EXPLAIN, 0)                                                                                 \
    XX(EXTENDED, 0)                                                                                \
    XX(EXTRACT, 0)                                                                                 \
    XX(FALSE, 1)                                                                                   \
    XX(FETCH, 0)                                                                                   \
    XX(FILTER, 0)                                                                                  \
    XX(FINAL, 0)                                                                                   \
    XX(FIRST, 0)                                                                                   \
    XX(FOLLOWING, 0)                                                                               \
    XX(FOR, 1)                                                                                     \
    XX(FORMAT, 0)                                                                                  \
    XX(FROM, 1)                                                                                    \
    XX(FULL, 1)                                                                                    \
    XX(FUNCTION, 0)                                                                                \
    XX(FUNCTIONS, 0)                                                                               \
    XX(GRACE, 0)                                                                                   \
    XX(GRANT, 0)                                                                                   \
    XX(GRANTS, 0)                                                                                  \
    XX(GRAPHVIZ, 0)                                                                                \
    XX(GROUP, 1)                                                                                   \
    XX(GROUPING, 0)                                                                                \
    XX(GROUPS, 0)                                                                                  \
    XX(HAVING, 1)                                                                                  \
    XX(HEADER, 0)                                                                                  \
    XX(HEADERS, 0)                                                                                 \
    XX(HOPPING, 0)                                                                                 \
    XX(HOUR, 0)                                                                                    \
    XX(HOURS, 0)                                                                                   \
    XX(ID, 0)                                                                                      \
    XX(IF, 0)                                                                                      \
    XX(IGNORE, 0)                                                                                  \
    XX(IMMEDIATE, 0)                                                                               \
    XX(IN, 1)                                                                                      \
    XX(INCLUDING, 0)                                                                               \
    XX(INNER, 1)                                                                                   \
    XX(INPUT, 0)                                                                                   \
    XX(INSERT, 1)                                                                                  \
    XX(INTERSECT, 1)                                                                               \
    XX(INTERVAL, 0)                                                                                \
    XX(INTO, 1)                                                                                    \
    XX(INVOKER, 0)                                                                                 \
    XX(IO, 0)                                                                                      \
    XX(IS, 1)                                                                                      \
    XX(ISOLATION, 0)                                                                               \
    XX(JOB, 0)                                                                                     \
    XX(JOBS, 0)                                                                                    \
    XX(JOIN, 1)                                                                                    \
    XX(JSON, 0)                                                                                    \
    XX(JSON_TABLE, 0)                                                                              \
    XX(KEY, 0)                                                                                     \
    XX(LAST, 0)                                                                                    \
    XX(LATERAL, 0)                                                                                 \
    XX(LEADING, 0)                                                                                 \
    XX(LEFT, 1)                                                                                    \
    XX(LEVEL, 0)                                                                                   \
    XX(LIKE, 1)                                                                                    \
    XX(LIMIT, 0)                                                                                   \
    XX(LIST, 0)                                                                                    \
    XX(LOCAL, 0)                                                                                   \
    XX(LOCALTIME, 1)                                                                               \
    XX(LOCALTIMESTAMP, 1)                                                                          \
    XX(LOGICAL, 0)                                                                                 \
    XX(MAP, 0)                                                                                     \
    XX(MATCH_RECOGNIZE, 0)                                                                         \
    XX(MATERIALIZED, 0)                                                                            \
    XX(MERGE, 0)                                                                                   \
    XX(MILLISECOND, 0)                                                                             \
    XX(MILLISECONDS, 0)                                                                            \
    XX(MINUTE, 0)                                                                                  \
    XX(MINUTES, 0)                                                                                 \
    XX(MONTH, 0)                                                                                   \
    XX(MONTHS, 0)                                                                                  \
    XX(NATURAL, 1)                                                                                 \
    XX(NEXT, 0)                                                                                    \
    XX(NFC, 0)                                                                                     \
    XX(NFD, 0)                                                                                     \
    XX(NFKC, 0)                                                                                    \
    XX(NFKD, 0)                                                                                    \
    XX(NO, 0)                                                                                      \
    XX(NORMALIZE, 0)                                                                               \
    XX(NOT, 1)                                                                                     \
    XX(NULL, 1)                                                                                    \
    XX(NULLS, 0)                                                                                   \
    XX(OF, 0)                                                                                      \
    XX(OFFSET, 0)                                                                                  \
    XX(ON, 1)                                                                                      \
    XX(ONLY, 0)                                                                                    \
    XX(OR, 1)                                                                                      \
    XX(ORDER, 1)                                                                                   \
    XX(ORDINALITY, 0)                                                                              \
    XX(OUTER, 1)                                                                                   \
    XX(OUTPUT, 0)                                                                                  \
    XX(OVER, 0)                                                                                    \
    XX(OVERFLOW, 0)                                                                                \
    XX(PARTITION, 0)                                                                               \
    XX(PARTITIONS, 0)                                                                              \
    XX(PATH, 0)                                                                                    \
    XX(PAUSE, 0)                                                                                   \
    XX(PERIOD, 0)                                                                                  \
    XX(PLUGINS, 0)                                                                                 \
    XX(POSITION, 0)                                                                                \
    XX(PRECEDING, 0)                                                                               \
    XX(PRECISION, 0)                                                                               \
    XX(PREPARE, 0)                                                                                 \
    XX(PRIMARY, 0)                                                                                 \
    XX(PRINT, 0)                                                                                   \
    XX(PROPERTIES, 0)                                                                              \
    XX(QUARTER, 0)                                                                                 \
    XX(QUERIES, 0)                                                                                 \
    XX(QUERY, 0)                                                                                   \
    XX(RANGE, 0)                                                                                   \
    XX(READ, 0)                                                                                    \
    XX(RECURSIVE, 0)                                                                               \
    XX(REFRESH, 0)                                                                                 \
    XX(RENAME, 0)                                                                                  \
    XX(REPEATABLE, 0)                                                                              \
    XX(REPLACE, 0)                                                                                 \
    XX(RESET, 0)                                                                                   \
    XX(RESPECT, 0)                                                                                 \
    XX(RESTRICT, 0)                                                                                \
    XX(RESUME, 0)                                                                                  \
    XX(RETENTION, 0)                                                                               \
    XX(REVOKE, 0)                                                                                  \
    XX(RIGHT, 1)                                                                                   \
    XX(ROLE, 0)                                                                                    \
    XX(ROLES, 0)                                                                                   \
    XX(ROLLBACK, 0)                                                                                \
    XX(ROLLUP, 0)                                                                                  \
    XX(ROW, 0)                                                                                     \
    XX(ROWS, 0)                                                                                    \
    XX(RUN, 0)                                                                                     \
    XX(SAMPLE, 0)                                                                                  \
    XX(SCHEMA, 0)                                                                                  \
    XX(SCHEMAS, 0)                                                                                 \
    XX(SCRIPT, 0)                                                                                  \
    XX(SECOND, 0)                                                                                  \
    XX(SECONDS, 0)                                                                                 \
    XX(SECURITY, 0)                                                                                \
    XX(SELECT, 1)                                                                                  \
    XX(SERIALIZABLE, 0)                                                                            \
    XX(SESSION, 0)                                                                                 \
    XX(SET, 0)                                                                                     \
    XX(SETS, 0)                                                                                    \
    XX(SHOW, 0)                                                                                    \
    XX(SINK, 0)                                                                                    \
    XX(SINKS, 0)                                                                                   \
    XX(SIZE, 0)                                                                                    \
    XX(SOME, 0)                                                                                    \
    XX(SOURCE, 0)                                                                                  \
    XX(START, 0)                                                                                   \
    XX(STATS, 0)                                                                                   \
    XX(STREAM, 0)                                                                                  \
    XX(STREAMS, 0)                                                                                 \
    XX(STRUCT, 0)                                                                                  \
    XX(SUBJECT, 0)                                                                                 \
    XX(SUBSTRING, 0)                                                                               \
    XX(SYMMETRIC, 0)                                                                               \
    XX(SYSTEM, 0)                                                                                  \
    XX(TABLE, 1)                                                                                   \
    XX(TABLES, 0)                                                                                  \
    XX(TABLESAMPLE, 0)                                                                             \
    XX(TERMINATE, 0)                                                                               \
    XX(TEXT, 0)                                                                                    \
    XX(THEN, 1)                                                                                    \
    XX(TIES, 0)                                                                                    \
    XX(TIME, 0)                                                                                    \
    XX(TIMEOUT, 0)                                                                                 \
    XX(TIMESTAMP, 0)                                                                               \
    XX(TO, 0)                                                                                      \
    XX(TOPIC, 0)                                                                                   \
    XX(TOPICS, 0)                                                                                  \
    XX(TRAILING, 0)                                                                                \
    XX(TRANSACTION, 0)                                                                             \
    XX(TRIM, 0)                                                                                    \
    XX(TRUE, 1)                                                                                    \
    XX(TRUNCATE, 0)                                                                                \
    XX(TRY_CAST, 0)                                                                                \
    XX(TUMBLING, 0)                                                                                \
    XX(TYPE, 0)                                                                                    \
    XX(TYPES, 0)                                                                                   \
    XX(UESCAPE, 1)                                                                                 \
    XX(UNBOUNDED, 0)                                                                               \
    XX(UNCOMMITTED, 0)                                                                             \
    XX(UNDEFINE, 0)                                                                                \
    XX(UNION, 1)                                                                                   \
    XX(UNKNOWN, 0)                                                                                 \
    XX(UNNEST, 0)                                                                                  \
    XX(UNSET, 0)                                                                                   \
    XX(UPDATE, 0)                                                                                  \
    XX(USE, 0)                                                                                     \
    XX(USING, 1)                                                                                   \
    XX(VALIDATE, 0)                                                                                \
    XX(VALUES, 1)                                                                                  \
    XX(VARIABLES, 0)                                                                               \
    XX(VERBOSE, 0)                                                                                 \
    XX(VERSION, 0)                                                                                 \
    XX(VIEW, 0)                                                                                    \
    XX(WEEK, 0)                                                                                    \
    XX(WEEKS, 0)                                                                                   \
    XX(WHEN, 1)                                                                                    \
    XX(WHERE, 1)                                                                                   \
    XX(WINDOW, 0)                                                                                  \
    XX(WITH, 1)                                                                                    \
    XX(WITHIN, 0)                                                                                  \
    XX(WITHOUT, 0)                                                                                 \
    XX(WORK, 0)                                                                                    \
    XX(WRITE, 0)                                                                                   \
    XX(YEAR, 0)                                                                                    \
    XX(YEARS, 0)                                                                                   \
    XX(ZONE, 0)

enum tni_kw {
    TNI_KW_NONE,
#define XX(word, is_reserved) TNI_KW_##word,
    TNI_KEYWORD_MAP(XX)
#undef XX
        TNI_KW_COUNT
};

enum tni_tok_kind {
    TNI_T_END,     /* end of the text */
    TNI_T_WORD,    /* unquoted; kw is set when it is a keyword */
    TNI_T_QUOTED,  /* "x" or `x` */
    TNI_T_STRING,  /* 'x' */
    TNI_T_UNICODE, /* U&'x' [UESCAPE 'c']; raw reaches to the end of UESCAPE */
    TNI_T_BYTES,   /* X'00ff' */
    TNI_T_INTEGER, /* 12, 1_000, 0xff, 0o17, 0b101 */
    TNI_T_DECIMAL, /* 1.5, .5, 5. */
    TNI_T_DOUBLE,  /* 1e3, .5E-2 */
    TNI_T_OP,      /* operator or punctuation: op */
    TNI_T_ERROR    /* not a token: error says why */
};

/* Operators: single characters are themselves, others have names. */
enum tni_op {
    TNI_OP_NE = 256, /* <> != */
    TNI_OP_LE,
    TNI_OP_GE,
    TNI_OP_CONCAT, /* || */
    TNI_OP_ARROW,  /* -> */
    TNI_OP_LAMBDA, /* => */
    TNI_OP_ASSIGN  /* := */
};

struct tni_token {
    enum tni_tok_kind kind;
    enum tni_kw kw;
    int op;
    bool has_escapes; /* doubled quotes inside */
    int line, col;
    size_t pos; /* byte offset of raw in the text */
    struct tn_str raw;
    bool shows_char;   /* ERROR: the text goes on after "character 'x'" */
    const char *error; /* ERROR: static text */
};

struct tni_lexer {
    struct tn_str text;
    size_t pos;
    int line, col;
};

void tni_lexer_init(struct tni_lexer *lexer, struct tn_str text, int line, int col);
/* Next token. At the end, and after an error, the same token again. */
void tni_lexer_next(struct tni_lexer *lexer, struct tni_token *ret_token);

/* QUOTED, STRING, UNICODE, BYTES: the value, without quotes and escapes; other kinds: raw. Borrowed
 * where possible, else in the arena. Fails on bad escapes of U&'…' and bad digits of X'…'. */
enum tn_status tni_token_text(const struct tni_token *token, struct tn_arena *arena,
                              struct tn_str *ret_text, struct tn_err *err);

/* Keyword of a word, TNI_KW_NONE if it is none; its spelling in upper case; is it reserved? */
enum tni_kw tni_keyword_find(struct tn_str word);
const char *tni_keyword_text(enum tni_kw kw);
bool tni_keyword_is_reserved(enum tni_kw kw);

#endif
