/** What the commands of messages do; `pubsub-commands.ts` declares them. */
import type { ClientSession } from '../../command/index.ts';
import { slotOf } from '../../keys/index.ts';
import { publishInSlot, type Scope } from '../../messages/index.ts';
import { EncodedReply, encodeReply, errors, PushReply, RedisError, type Reply } from '../../protocol/index.ts';
import { redirectElsewhere } from '../../request/index.ts';

/** The word before `subscribe` in messages about a scope. */
const PREFIX: Readonly<Record<Scope, string>> = { channel: '', pattern: 'p', shard: 's' };

const CROSS_SLOT = "CROSSSLOT Keys in request don't hash to the same slot";

/** Channels and patterns count together, channels of shards by themselves. */
const countOf = ({ subscriptions }: ClientSession, scope: Scope): number =>
  scope === 'shard' ? subscriptions.count('shard') : subscriptions.count('channel') + subscriptions.count('pattern');

const line = (session: ClientSession, word: string, scope: Scope, name: Buffer | null): Buffer =>
  encodeReply(new PushReply([`${PREFIX[scope]}${word}`, name, countOf(session, scope)]), session.resp);

/** The reply leaves when every node that counts as alive knows what the client listens to: what is published from then on takes it into account. */
function told({ server }: ClientSession, lines: readonly Buffer[]): Reply | Promise<Reply> {
  const reply = new EncodedReply(Buffer.concat(lines));
  return server.messages.told()?.then(() => reply) ?? reply;
}

/** Clients that choose the node by the slot are sent to its leader. @throws RedisError */
function checkSlots(session: ClientSession, channels: readonly Buffer[]): void {
  const [first] = channels;
  if (first === undefined || !session.redirects) return;
  if (channels.some((channel) => slotOf(channel) !== slotOf(first))) throw new RedisError(CROSS_SLOT);
  redirectElsewhere(session, { flags: ['pubsub'] }, 0, first);
}

/** SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE. */
export const subscribe =
  (scope: Scope) =>
  (session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> => {
    const names = args.slice(1);
    if (scope === 'shard') {
      if (session.multi.isExecuting) throw new RedisError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
      checkSlots(session, names);
    }
    session.subscriptions.checkRoom(names);
    const lines: Buffer[] = [];
    for (const name of names) {
      session.subscriptions.add(scope, name, session.replyPlace);
      lines.push(line(session, 'subscribe', scope, name));
    }
    return told(session, lines);
  };

/** UNSUBSCRIBE, PUNSUBSCRIBE, SUNSUBSCRIBE, from what is named or from everything. */
export const unsubscribe =
  (scope: Scope) =>
  (session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> => {
    const { subscriptions } = session;
    if (scope === 'shard') checkSlots(session, args.slice(1));
    const names = args.length > 1 ? args.slice(1) : subscriptions.of(scope);
    const lines: Buffer[] = [];
    for (const name of names) {
      subscriptions.remove(scope, name);
      lines.push(line(session, 'unsubscribe', scope, name));
    }
    if (lines.length === 0) lines.push(line(session, 'unsubscribe', scope, null));
    return told(session, lines);
  };

/** PUBLISH. */
export function publish({ server }: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> {
  const published = { isShard: false, channel: args[1]!, message: args[2]! };
  const ready = server.messages.ready();
  return ready === undefined
    ? server.messages.publish(published)
    : ready.then(() => server.messages.publish(published));
}

/** SPUBLISH. */
export function publishToShard(session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> {
  const { clock, config } = session.server;
  const published = { isShard: true, channel: args[1]!, message: args[2]! };
  checkSlots(session, [published.channel]);
  return publishInSlot(session.server, published, clock.monotonicMs() + config.commandTimeoutMs);
}

/** PUBSUB CHANNELS and SHARDCHANNELS. */
export const names =
  (scope: Scope) =>
  ({ server }: ClientSession, args: readonly Buffer[]): Reply => {
    if (args.length > 3) throw errors.subcommandSyntax('PUBSUB', args[1]!.toString('latin1'));
    return server.messages.names(scope, args[2]);
  };

/** PUBSUB NUMSUB and SHARDNUMSUB. */
export const listeners =
  (scope: Scope) =>
  ({ server }: ClientSession, args: readonly Buffer[]): Reply =>
    args.slice(2).flatMap((channel): Reply[] => [channel, server.messages.listeners(scope, channel)]);
