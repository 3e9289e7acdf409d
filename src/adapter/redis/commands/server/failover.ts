/** FAILOVER: hands leadership over on request, so that a node can be stopped without anybody waiting for an election. */

import { type ClientSession, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, OK, RedisError, type Reply, wordOf } from '../../protocol/index.ts';

/** How many values follow an option; the last of them is a number. */
const VALUES_OF_OPTION: ReadonlyMap<string, number> = new Map([
  ['timeout', 1],
  ['to', 2],
  ['force', 0],
]);

/**
 * The next leader of each group is the voter that is furthest, so a target is not taken: clients do not know nodes by the
 * addresses that Raft knows them by. Mistakes are noticed in Redis' order, on a master without replicas, which every node is.
 */
async function failover(session: ClientSession, args: readonly Buffer[]): Promise<Reply> {
  const given = new Set<string>();
  for (let at = 1; at < args.length; at++) {
    const option = wordOf(args[at]!);
    if (option === 'abort' && args.length === 2) throw new RedisError('ERR No failover in progress.');
    const values = VALUES_OF_OPTION.get(option);
    if (values === undefined || at + values >= args.length || given.has(option)) throw errors.syntax();
    given.add(option);
    at += values;
    const value = values === 0 ? 1n : integerArgument(args[at]!);
    if (option === 'timeout' && value <= 0n) throw new RedisError('ERR FAILOVER timeout must be greater than 0');
  }
  const mayHandOver = !given.has('to') && !given.has('force');
  if (!mayHandOver || !(await session.server.handOver()))
    throw new RedisError('ERR FAILOVER requires connected replicas.');
  return OK;
}

export const failoverCommands = defineCommands([
  {
    name: 'failover',
    arity: -1,
    flags: ['admin', 'noscript', 'stale'],
    group: 'server',
    since: '6.2.0',
    summary: 'Hands over what this node leads.',
    differences: 'The next leader of each group is the replica that is furthest: `TO` and `FORCE` are refused.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: failover },
  },
]);
