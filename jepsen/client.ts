/**
 * One client process: an official Redis client on one node, with every automatic retry turned off, and the rule that says
 * what an error means. Only an error that proves that nothing happened is a failure; everything else is unknown.
 */
import { Redis, ReplyError } from 'ioredis';
import type { OpType } from './history.ts';
import type { ClientAddress } from './types.ts';

const CONNECT_TIMEOUT_MS = 1000;
/** Longer than the server's own deadline, so that the server's answer is what is recorded. */
const COMMAND_TIMEOUT_MS = 8000;

/** Error prefixes with which the server says that the write may have happened. */
const UNKNOWN_PREFIXES = new Set(['UNKNOWN']);

/** A client without retries, connected. @throws when the node cannot be reached */
export async function connectClient(address: ClientAddress): Promise<Redis> {
  const client = new Redis({
    ...address,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
  });
  // Errors also reach whoever awaits the command; without a listener they would be printed.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    client.disconnect();
    throw error;
  }
  return client;
}

/** Thrown by a workload that knows for certain that its operation changed nothing. */
export class NothingHappened extends Error {
  override readonly name = 'NothingHappened';
}

export interface Outcome {
  readonly type: Exclude<OpType, 'invoke'>;
  readonly error: string;
  /** The connection is of no further use. */
  readonly connectionLost: boolean;
}

/** What an error of `execute` means for the history. */
export function classifyError(error: unknown, isReadOnly: boolean): Outcome {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof NothingHappened) return { type: 'fail', error: message, connectionLost: false };
  if (error instanceof ReplyError) {
    const prefix = message.split(' ', 1)[0]!;
    const type = UNKNOWN_PREFIXES.has(prefix) && !isReadOnly ? 'info' : 'fail';
    return { type, error: message, connectionLost: false };
  }
  // A write on a connection that was already known to be closed never left this process.
  const neverSent = message.includes("Stream isn't writeable");
  return { type: isReadOnly || neverSent ? 'fail' : 'info', error: message, connectionLost: true };
}
