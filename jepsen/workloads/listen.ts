/** What a client does that listens to one channel, and tells now and then what it has heard. */
import type { Redis } from 'ioredis';
import type { Random } from '../../src/platform/index.ts';
import type { Heard } from '../checkers/subscribers.ts';
import type { Invocation } from '../types.ts';

/** Every so manieth time a listener ends listening and begins again: each beginning is a moment in which a message can be missed. */
const BEGINS_ANEW = 60;

/** What each connection has heard since it was asked last. */
const inboxes = new WeakMap<Redis, number[]>();

/** The next operation of a client that listens. */
export const listening = (random: Random): Invocation => ({ f: 'hear', value: random.int(BEGINS_ANEW) === 0 });

/** @param numberOf what a message stands for */
export async function hear(
  client: Redis,
  channel: string,
  begins: boolean,
  numberOf: (message: string) => number,
): Promise<Heard> {
  let inbox = inboxes.get(client);
  if (inbox === undefined) {
    const fresh: number[] = [];
    inbox = fresh;
    inboxes.set(client, fresh);
    client.on('message', (_channel, message) => fresh.push(numberOf(message)));
    await client.subscribe(channel);
    return { begins: true, messages: fresh.splice(0) };
  }
  if (begins) {
    await client.unsubscribe(channel);
    await client.subscribe(channel);
  } else {
    await client.ping();
  }
  return { begins, messages: inbox.splice(0) };
}
