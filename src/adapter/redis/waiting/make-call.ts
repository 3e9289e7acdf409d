/** Makes a command of a client one that waits. */
import type { Millis } from '../../../platform/index.ts';
import type { CommandSpec } from '../command/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import type { CommandRequest } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import { MAX_WAITED_KEYS, WaitingCall } from './waiting-call.ts';

/**
 * @param requestOf makes the command a request, with the arguments that it has by now
 * @param runAcross runs a request on all groups that its keys belong to
 * @throws RedisError when it has too many keys
 */
export function waitingCallOf(
  server: ServerState,
  spec: CommandSpec,
  args: readonly Buffer[],
  patienceMs: Millis,
  requestOf: (args: readonly Buffer[]) => CommandRequest,
  runAcross: (request: CommandRequest) => Promise<Reply>,
): WaitingCall {
  if (spec.waits!.keys(args).length > MAX_WAITED_KEYS)
    throw new RedisError(`ERR a command waits for at most ${MAX_WAITED_KEYS} keys`);
  const { kv, clock, scheduler, random, commandTimeoutMs } = server;
  const environment = {
    ...{ kv, clock, scheduler, random, commandTimeoutMs },
    nextWaiter: () => server.nextWaiter(),
    requestOf,
    runAcross,
  };
  return new WaitingCall(environment, args, patienceMs, spec.waits!.atTimeout);
}
