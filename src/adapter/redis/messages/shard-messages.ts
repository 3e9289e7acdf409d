/**
 * Messages to shard channels. The leader of the group that has a channel's slot sends them to all who listen, so everybody gets the messages of a
 * channel in one order. Other nodes hand theirs to it.
 */
import { forwarded, type KvService } from '../../../kv/index.ts';
import { type GroupId, isOutcomeUnknown, type Millis } from '../../../platform/index.ts';
import { slotOf } from '../keys/index.ts';
import { RedisError } from '../protocol/index.ts';
import {
  decodeShardAnswer,
  decodeShardMessage,
  encodeShardAnswer,
  encodeShardMessage,
  type Published,
  SHARD_SERVICE,
} from './codec.ts';
import type { Messages } from './messages.ts';

const UNKNOWN = 'UNKNOWN nobody knows whether the message was sent: the leader of its slot has not answered';

/** Starts to send messages that other nodes hand to this one as a leader. */
export function serveShardMessages(kv: Pick<KvService, 'onForward'>, messages: Messages): void {
  kv.onForward(SHARD_SERVICE, (payload, answer) => {
    const { channel, message } = decodeShardMessage(payload);
    messages.whenReady(() => {
      answer(undefined, encodeShardAnswer(messages.publish({ isShard: true, channel, message })));
    });
  });
}

/** What sends a message to a shard channel. */
export interface ShardSender {
  readonly kv: Pick<KvService, 'servesLocally' | 'forward'>;
  readonly messages: Messages;
  /** Which group has a slot. */
  readonly slots: { groupOf(slot: number): GroupId };
}

/**
 * Has a message to a shard channel sent by the leader of its slot's group.
 * @returns how many clients it goes to
 * @throws RedisError when that is not known; LeaderUnavailableError and the like: nothing was sent
 */
export function publishInSlot(
  { kv, messages, slots }: ShardSender,
  published: Published,
  deadlineMs: Millis,
): number | Promise<number> {
  const group = slots.groupOf(slotOf(published.channel));
  if (kv.servesLocally(group) && messages.ready() === undefined) return messages.publish(published);
  return publishThroughLeader(kv, group, published, deadlineMs);
}

/** See `publishInSlot`. */
async function publishThroughLeader(
  kv: Pick<KvService, 'forward'>,
  group: GroupId,
  published: { readonly channel: Buffer; readonly message: Buffer },
  deadlineMs: Millis,
): Promise<number> {
  const payload = encodeShardMessage(published.channel, published.message);
  try {
    return decodeShardAnswer(await forwarded(kv, group, SHARD_SERVICE, payload, deadlineMs));
  } catch (error) {
    throw isOutcomeUnknown(error) ? new RedisError(UNKNOWN) : error;
  }
}
