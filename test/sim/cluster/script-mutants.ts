/** Mutants of scripts. */
import type { SimMutant } from './mutants.ts';

const RETURNS = 'return status === LuaStatus.Ok ? takeReply(api, state, run.resp) : this.failure(status, what.name);';

export const SCRIPT_MUTANTS: readonly SimMutant[] = [
  {
    name: 'script-rolled-back',
    breaks: 'what a script has written before it failed is taken back',
    only: ['--no-routes', '--workload', 'script-register'],
    mutations: [
      {
        file: 'src/adapter/redis/lua/machine/lua-core.ts',
        find: RETURNS,
        replace:
          'if (status !== LuaStatus.Ok) throw new RedisError((this.failure(status, what.name) as ErrorReply).text); return takeReply(api, state, run.resp);',
      },
    ],
  },
];
