/** What a client does that listens to one channel, and tells now and then what it has heard. */
import type { Redis } from 'ioredis';
import type { Random } from '../../src/platform/index.ts';
import type { Heard } from '../checkers/subscribers.ts';
import type { Invocation } from '../types.ts';

/** Every so manieth time a listener ends listening and begins again: each beginning is a moment in which a message can be missed. */
const BEGINS_ANEW = 60;

interface Inbox {
  /** What the connection has heard since it was asked last. */
  readonly messages: number[];
  /** The node has said that it listens. */
  isListening: boolean;
}

const inboxes = new WeakMap<Redis, Inbox>();

/** The next operation of a client that listens. */
export const listening = (random: Random): Invocation => ({ f: 'hear', value: random.int(BEGINS_ANEW) === 0 });

/** @param numberOf what a message stands for; undefined for one of somebody else */
export async function hear(
  client: Redis,
  channel: string,
  begins: boolean,
  numberOf: (message: string) => number | undefined,
): Promise<Heard> {
  let inbox = inboxes.get(client);
  if (inbox === undefined) {
    const messages: number[] = [];
    inbox = { messages, isListening: false };
    inboxes.set(client, inbox);
    client.on('message', (_channel, message) => {
      const number = numberOf(message);
      if (number !== undefined) messages.push(number);
    });
  }
  if (inbox.isListening && !begins) {
    await client.ping();
    return { begins: false, messages: inbox.messages.splice(0) };
  }
  if (inbox.isListening) await client.unsubscribe(channel);
  inbox.isListening = false;
  await client.subscribe(channel);
  inbox.isListening = true;
  return { begins: true, messages: inbox.messages.splice(0) };
}
