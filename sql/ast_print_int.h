/* Inside of the printer: shared by ast_print*.c only. */
#ifndef TN_SQL_AST_PRINT_INT_H
#define TN_SQL_AST_PRINT_INT_H

#include "sql/ast.h"

void tni_print_ident(const struct tn_ident *ident, struct tn_buf *buf);
void tni_print_idents(const struct tn_ident *idents, uint32_t count,
                      struct tn_buf *buf);                     /* (a, b) */
void tni_print_string(struct tn_str text, struct tn_buf *buf); /* 'x' */
void tni_print_exprs(struct tn_ast_expr *const *exprs, uint32_t count, struct tn_buf *buf);
void tni_print_sorts(const struct tn_ast_sort *sorts, uint32_t count, struct tn_buf *buf);
void tni_print_over(const struct tn_ast_over *over, struct tn_buf *buf); /* name or (…) */
void tni_print_duration(const struct tn_ast_duration *duration, struct tn_buf *buf);

/* Is "x -> e" a lambda as this argument (0-based) of this function? See parse_call.c. */
bool tni_takes_lambda(const struct tn_ast_name *name, uint32_t arg);

#endif
