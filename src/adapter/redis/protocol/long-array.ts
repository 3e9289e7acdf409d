/** Arrays of very many elements become bytes in several turns. */
import { nextTurn, type Scheduler } from '../../../platform/index.ts';
import { EncodedParts, type Reply } from './reply.ts';
import { ReplyWriter } from './reply-writer.ts';

/** Elements that are written in one turn, some milliseconds. */
const TURN_ELEMENTS = 16_384;

/**
 * The same reply; bytes in place of an array that would take long to write.
 * @param resp version of the protocol that the client speaks
 */
export async function encodeLongArray(
  reply: Reply,
  resp: 2 | 3,
  scheduler: Pick<Scheduler, 'nextTurn'>,
): Promise<Reply> {
  if (!Array.isArray(reply) || reply.length <= TURN_ELEMENTS) return reply;
  const writer = new ReplyWriter();
  const parts: Buffer[] = [];
  writer.beginArray(reply.length);
  for (let from = 0; from < reply.length; from += TURN_ELEMENTS) {
    const to = Math.min(reply.length, from + TURN_ELEMENTS);
    for (let at = from; at < to; at++) writer.write(reply[at], resp);
    for (const part of writer.take()) parts.push(part);
    await nextTurn(scheduler);
  }
  return new EncodedParts(parts);
}
