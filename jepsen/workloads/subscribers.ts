/** Clients that listen to a channel, and others that publish unique numbers to it: SUBSCRIBE, UNSUBSCRIBE, PUBLISH. */
import type { Redis } from 'ioredis';
import { type Heard, subscribersChecker } from '../checkers/subscribers.ts';
import type { Workload } from '../types.ts';

const CHANNEL = 'subscribers';
/** Every so manieth time a listener ends listening and begins again: each beginning is a moment in which a message can be missed. */
const BEGINS_ANEW = 60;

/** What each connection has heard since it was asked last. */
const inboxes = new WeakMap<Redis, number[]>();

async function hear(client: Redis, begins: boolean): Promise<Heard> {
  let inbox = inboxes.get(client);
  if (inbox === undefined) {
    const fresh: number[] = [];
    inbox = fresh;
    inboxes.set(client, fresh);
    client.on('message', (_channel, message) => fresh.push(Number(message)));
    await client.subscribe(CHANNEL);
    return { begins: true, messages: fresh.splice(0) };
  }
  if (begins) {
    await client.unsubscribe(CHANNEL);
    await client.subscribe(CHANNEL);
  } else {
    await client.ping();
  }
  return { begins, messages: inbox.splice(0) };
}

export const subscribers = (): Workload => ({
  name: 'subscribers',
  description: 'clients listen to a channel; what is published after SUBSCRIBE has answered comes, once and in order',
  checker: subscribersChecker,
  generate({ random, worker, nextId }) {
    if (worker % 2 === 1) return { f: 'publish', value: nextId() };
    return { f: 'hear', value: random.int(BEGINS_ANEW) === 0 };
  },
  isReadOnly: (f) => f === 'hear',
  async execute(client, { f, value }) {
    if (f === 'hear') return hear(client, value === true);
    await client.publish(CHANNEL, String(value));
    return value;
  },
});
