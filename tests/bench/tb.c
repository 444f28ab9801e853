#include "tests/bench/bare_core.h"
#include "connectors/formats.h"
#include "stream/batch.h"
#include <stdio.h>
int main(void){
 struct events ev; struct events_spec s={7,2000000,10000,1.0,0.001};
 events_make(&s,&ev);
 printf("avg %.1f bytes malformed %lu\n",(double)ev.bytes_count/(double)ev.count,ev.malformed_count);
 struct tn_arena ta; tn_arena_init(&ta,0);
 struct tn_field f[2]={{TN_STR("song"),tn_type_of(TN_K_VARCHAR)},{TN_STR("ms"),tn_type_of(TN_K_INTEGER)}};
 struct tn_schema sc={2,f};
 struct tn_codec_spec cs={.schema=&sc}; struct tn_codec*c; struct tn_err err;
 if(tn_format_json.open(&tn_format_json,&cs,&c,&err)) return 1;
 struct tn_arena a; tn_arena_init(&a,0);
 for(int r=0;r<4;r++){ struct bare_counts bc; double t=bench_cpu(); bare_core_run(&ev,&bc); double u=bench_cpu();
  printf("bare %.1f ns/event keys %lu bad %lu\n",(u-t)*1e9/(double)ev.count,bc.keys,bc.malformed);
  t=bench_cpu(); uint64_t bad=0;
  for(uint64_t i=0;i<ev.count;i+=4096){ uint32_t n=ev.count-i<4096?(uint32_t)(ev.count-i):4096; struct tn_decoded d; tn_arena_reset(&a); c->format->decode(c,ev.items+i,n,&a,&d); bad+=d.bad_count;}
  u=bench_cpu(); printf("decode %.1f ns/event bad %lu\n",(u-t)*1e9/(double)ev.count,bad);
 }
}
