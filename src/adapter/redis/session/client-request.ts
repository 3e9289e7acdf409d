/** The one place where a client's command becomes a request. */
import type { CommandSpec, ResolvedCommand } from '../command/index.ts';
import { CommandRequest, fillsAside, type RequestOwner, type Route } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import { readsLittle } from './command-kinds.ts';
import type { Session } from './session.ts';
import type { Transport } from './transport.ts';

/** Whether a call runs alone from the start, because it replaces a value by one that is built aside: nobody has to look at anything before. */
export const beginsAside = (server: ServerState, spec: CommandSpec, args: readonly Buffer[]): boolean =>
  spec.fills !== undefined &&
  server.transactions !== undefined &&
  fillsAside({ spec, args, settings: server.settings }) === 'always';

/**
 * @param given the arguments as the client has sent them
 * @param token the owner's own name for the request
 * @param transport that the command has just been taken from; left out: nobody knows what it lies in
 */
export function requestOf(
  { server, db, resp, tracking, access, readsUnnoticed }: Session,
  command: ResolvedCommand,
  given: readonly Buffer[],
  { firstKey, firstStorageKey }: Route,
  owner: RequestOwner,
  token: number,
  transport?: Pick<Transport, 'chunkOf' | 'commandAt'>,
): CommandRequest {
  const settings = tracking.settingsFor(access.settingsFor([command]));
  const { spec, args } = server.atIngress(command.spec, given);
  const isAsSent = args === given;
  const others = isAsSent ? undefined : given;
  const options = { spec, args, given: others, db, resp, settings, owner, token, firstKey, firstStorageKey };
  const request = new CommandRequest(options);
  const chunk = isAsSent ? transport?.chunkOf(given) : undefined;
  if (chunk !== undefined) request.liesIn(chunk, transport!.commandAt);
  request.isPointRead = readsUnnoticed && readsLittle(spec);
  return request;
}
