/** MONITOR: shows a client the commands that other clients send to the node. */
import { type ClientSession, defineCommands } from '../../command/index.ts';
import { NO_REPLY, OK, RedisError, type Reply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';

function monitor(session: ClientSession): Reply {
  if (session.multi.isExecuting) throw new RedisError("ERR MONITOR isn't allowed for DENY BLOCKING client");
  if (session.isMonitor) return NO_REPLY;
  session.startMonitoring();
  return OK;
}

const server = declareWith({ group: 'server', flags: ['admin', 'noscript', 'loading', 'stale'], complexity: 'O(1)' });

export const monitorCommands = defineCommands([
  server({
    name: 'monitor',
    arity: 1,
    since: '1.0.0',
    summary: 'Shows the commands of all clients as they come.',
    differences:
      'Those that this node receives; what a script calls is shown where it is evaluated, 1 MiB of a run at most. Commands of a transaction are ' +
      'shown when EXEC comes.',
    run: monitor,
  }),
]);
