/** SCRIPT: scripts that are known by their SHA-1. */
import { createHash } from 'node:crypto';
import { NEVER } from '../../../../platform/index.ts';
import { readString } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { KEYSPACES, SCRIPT_DB } from '../../keys/index.ts';
import { OK, RedisError, type Reply, wordOf } from '../../protocol/index.ts';
import { writeString } from '../../values/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { requireScripts } from './eval.ts';

const container = declareWith({ flags: ['noscript'], group: 'scripting', complexity: 'O(1)' });

/** Where a loaded script lies. */
const placeOf = (sha: string) => ({ db: SCRIPT_DB, key: Buffer.from(sha.toLowerCase(), 'latin1') });

/** Stores a script where every node finds it. */
function load(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const text = args[2]!;
  const scripts = requireScripts(ctx);
  const sha = scripts.shaOf(text);
  scripts.check({ sha, text });
  writeString(ctx.nested(SCRIPT_DB, ctx.resp), Buffer.from(sha, 'latin1'), text, NEVER);
  return sha;
}

function exist(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const scripts = requireScripts(ctx);
  const loaded = ctx.nested(SCRIPT_DB, ctx.resp);
  return args.slice(2).map((sha) => {
    const { key } = placeOf(sha.toString('latin1'));
    return scripts.find(key.toString('latin1')) !== undefined || readString(loaded, key) !== undefined ? 1 : 0;
  });
}

export const scriptCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'script',
    arity: -2,
    flags: [],
    group: 'scripting',
    since: '2.6.0',
    summary: 'Scripts that are known by their SHA-1.',
    subcommands: [
      container({
        name: 'load',
        arity: 3,
        flags: ['noscript', 'stale'],
        since: '2.6.0',
        summary: 'Makes a script known to all nodes.',
        differences: 'Known to every node of the cluster.',
        complexity: 'O(N) in the length of the script',
        writes: () => true,
        keyElsewhere: (args) => placeOf(createHash('sha1').update(args[2]!).digest('hex')),
        ingress: (scripts, args) => {
          scripts.keep({ sha: scripts.shaOf(args[2]!), text: args[2]! });
          return args;
        },
        handler: { kind: 'data', run: load },
      }),
      container({
        name: 'exists',
        arity: -3,
        since: '2.6.0',
        summary: 'Whether scripts are known.',
        complexity: 'O(N) in the number of scripts',
        findsAnyKey: true,
        handler: { kind: 'data', run: exist },
      }),
      container({
        name: 'flush',
        arity: -2,
        since: '2.6.0',
        summary: 'Forgets all scripts.',
        differences: 'Another node may still know what was sent to it with EVAL.',
        handler: {
          kind: 'scan',
          run: async (ctx, args) => {
            const isMode = args.length === 2 || (args.length === 3 && ['sync', 'async'].includes(wordOf(args[2]!)));
            if (!isMode) throw new RedisError('ERR SCRIPT FLUSH only support SYNC|ASYNC option');
            await ctx.flush(KEYSPACES[SCRIPT_DB]!.wholeDb());
            ctx.session.server.scripts.forget();
            return OK;
          },
        },
      }),
      container({
        name: 'kill',
        arity: 2,
        flags: ['noscript', 'allow_busy'],
        since: '2.6.0',
        summary: 'Ends a running script; scripts end by themselves here.',
        differences: 'There is never one to end: a script that runs too long ends by itself.',
        run: () => {
          throw new RedisError('NOTBUSY No scripts in execution right now.');
        },
      }),
      container({
        name: 'debug',
        arity: 3,
        since: '3.2.0',
        summary: 'Chooses how scripts are debugged; there is no debugger.',
        differences: 'Accepted; there is no debugger.',
        run: (_, args) => {
          if (!['yes', 'sync', 'no'].includes(wordOf(args[2]!))) {
            throw new RedisError('ERR Use SCRIPT DEBUG YES/SYNC/NO');
          }
          return OK;
        },
      }),
      helpCommand({
        container: 'script',
        group: 'scripting',
        since: '5.0.0',
        lines: [
          'DEBUG (YES|SYNC|NO)',
          '    Accepted; there is no debugger.',
          'EXISTS <sha1> [<sha1> ...]',
          '    Whether scripts are known.',
          'FLUSH [ASYNC|SYNC]',
          '    Forgets all scripts.',
          'KILL',
          '    There is never a script to end: they end by themselves.',
          'LOAD <script>',
          '    Makes a script known to all nodes without running it.',
        ],
      }),
    ],
  },
]);
