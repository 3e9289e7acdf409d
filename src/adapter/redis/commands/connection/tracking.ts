/** What the subcommands of CLIENT do that are about keys which clients keep; `client-commands.ts` declares them. */
import type { ClientSession, TrackingOptions } from '../../command/index.ts';
import {
  errors,
  integerArgument,
  MapReply,
  OK,
  RedisError,
  type Reply,
  SetReply,
  wordOf,
} from '../../protocol/index.ts';

interface ParsedOptions {
  redirect: number;
  isBroadcast: boolean;
  isOptIn: boolean;
  isOptOut: boolean;
  isQuiet: boolean;
  readonly prefixes: Buffer[];
}

/** The client that is told in place of another one. It has to be there now. */
function redirectIn({ server }: ClientSession, argument: Buffer): number {
  const id = Number(integerArgument(argument));
  if (server.isClientElsewhere(id)) {
    throw new RedisError(
      'ERR The client ID you want redirect to is of another node, connect both clients to the same one',
    );
  }
  if (!server.connections.has(id)) {
    throw new RedisError('ERR The client ID you want redirect to does not exist');
  }
  return id;
}

/** Reads what stands behind ON or OFF. @throws RedisError */
function parseOptions(session: ClientSession, args: readonly Buffer[]): ParsedOptions {
  const options: ParsedOptions = {
    ...{ redirect: 0, isBroadcast: false, isOptIn: false, isOptOut: false, isQuiet: false },
    prefixes: [],
  };
  for (let at = 3; at < args.length; at++) {
    const word = wordOf(args[at]!);
    const value = args[at + 1];
    if (word === 'redirect' && value !== undefined) {
      if (options.redirect !== 0) throw new RedisError('ERR A client can only redirect to a single other client');
      options.redirect = redirectIn(session, value);
      at++;
    } else if (word === 'prefix' && value !== undefined) {
      options.prefixes.push(value);
      at++;
    } else if (word === 'bcast') options.isBroadcast = true;
    else if (word === 'optin') options.isOptIn = true;
    else if (word === 'optout') options.isOptOut = true;
    else if (word === 'noloop') options.isQuiet = true;
    else throw errors.syntax();
  }
  return options;
}

/** What is compatible whatever was said before is checked here, the rest by the client's own state, in Redis' order. @throws RedisError */
function switchOn(session: ClientSession, parsed: ParsedOptions): Reply | Promise<Reply> {
  const { redirect, isBroadcast, isOptIn, isOptOut, isQuiet, prefixes } = parsed;
  const { tracking } = session;
  if (!isBroadcast && prefixes.length > 0) throw new RedisError('ERR PREFIX option requires BCAST mode to be enabled');
  tracking.checkMode(isBroadcast);
  if (isBroadcast && (isOptIn || isOptOut)) throw new RedisError('ERR OPTIN and OPTOUT are not compatible with BCAST');
  if (isOptIn && isOptOut) throw new RedisError("ERR You can't specify both OPTIN mode and OPTOUT mode");
  const choice = isOptIn ? 'optin' : isOptOut ? 'optout' : undefined;
  const options: TrackingOptions = { redirect, isBroadcast, isQuiet, choice };
  const watching = tracking.switchOn(options, prefixes);
  const { replyPlace } = session;
  // Commands of the same transaction have run before all nodes knew of it, whatever their order.
  const { isExecuting } = session.multi;
  const done = (): Reply => {
    if (isExecuting) tracking.forgetFrom(replyPlace);
    return OK;
  };
  return watching?.then(done) ?? done();
}

/** CLIENT TRACKING. */
export function tracking(session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> {
  const options = parseOptions(session, args);
  const mode = wordOf(args[2]!);
  if (mode === 'on') return switchOn(session, options);
  if (mode !== 'off') throw errors.syntax();
  session.tracking.switchOff();
  return OK;
}

/** CLIENT CACHING. */
export function caching({ tracking }: ClientSession, args: readonly Buffer[]): Reply {
  if (!tracking.isOn) {
    throw new RedisError(
      'ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled',
    );
  }
  const word = wordOf(args[2]!);
  if (word !== 'yes' && word !== 'no') throw errors.syntax();
  tracking.cacheNext(word === 'yes');
  return OK;
}

/** CLIENT GETREDIR. */
export const redirect = ({ tracking }: ClientSession): Reply => tracking.redirect;

/** CLIENT TRACKINGINFO. */
export const trackingInfo = ({ tracking }: ClientSession): Reply =>
  new MapReply([
    ['flags', new SetReply(tracking.flags)],
    ['redirect', tracking.redirect],
    ['prefixes', tracking.prefixList()],
  ]);
