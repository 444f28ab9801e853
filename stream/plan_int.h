/* What the engine asks of a compiled plan beyond plan.h: which source columns are read, which
 * topics are between its stages. Private to stream/. @thread any
 */
#ifndef TN_STREAM_PLAN_INT_H
#define TN_STREAM_PLAN_INT_H

#include "stream/plan.h"

/* Columns of node `node` that some node behind it reads; mask has schema->fields_count entries. */
void tni_plan_live(const struct tn_stage *stage, uint32_t node, bool *mask);
/* Does all that reads the node look only at the selected rows of a batch (batch.h)? Then a FILTER
 * copies nothing: plain columns up to an AGGREGATE or a folding REPARTITION. */
bool tni_plan_selects(const struct tn_stage *stage, uint32_t number);
/* The REPARTITION node that writes `topic`, NULL when the topic comes from outside the plan. */
const struct tn_node *tni_plan_repartition(const struct tn_plan *plan, const char *topic);
/* Is the stage's node a record stream into a stateful or closing node, i.e. does anything read it?
 */
bool tni_plan_has_reader(const struct tn_stage *stage, uint32_t node);

#endif
