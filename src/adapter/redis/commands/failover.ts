/** FAILOVER: hands leadership over on request, so that a node can be stopped without anybody waiting for an election. */
import { timeoutArgument, wordOf } from '../arguments.ts';
import { defineCommands } from '../command.ts';
import type { Connection } from '../connection.ts';
import { errors, OK, RedisError, type Reply } from '../reply.ts';

/**
 * The next leader of each group is the voter that is furthest, so a target is not taken: clients do not know nodes by the
 * addresses that Raft knows them by.
 */
async function failover(connection: Connection, args: readonly Buffer[]): Promise<Reply> {
  for (let at = 1; at < args.length; at++) {
    const option = wordOf(args[at]!);
    if (option === 'abort' && args.length === 2) throw new RedisError('ERR No failover in progress.');
    if (option === 'to' && at + 2 < args.length) {
      throw new RedisError('ERR FAILOVER target HOST and PORT is not a replica.');
    }
    if (option !== 'timeout' || at + 1 >= args.length) throw errors.syntax();
    if (timeoutArgument(args[++at]!) === 0) throw new RedisError('ERR FAILOVER timeout must be greater than 0');
  }
  if (!(await connection.server.handOver())) {
    throw new RedisError('ERR FAILOVER is not valid when server is a replica.');
  }
  return OK;
}

export const failoverCommands = defineCommands([
  {
    name: 'failover',
    arity: -1,
    flags: ['admin', 'noscript', 'stale'],
    group: 'server',
    since: '6.2.0',
    summary: 'Start a coordinated failover from a server to one of its replicas',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: failover },
  },
]);
