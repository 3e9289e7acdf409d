/** Clients that listen to a channel, and others that publish unique numbers to it: SUBSCRIBE, UNSUBSCRIBE, PUBLISH. */
import { subscribersChecker } from '../checkers/subscribers.ts';
import type { Workload } from '../types.ts';
import { hear, listening } from './listen.ts';

const CHANNEL = 'subscribers';

export const subscribers = (): Workload => ({
  name: 'subscribers',
  description: 'clients listen to a channel; what is published after SUBSCRIBE has answered comes, once and in order',
  checker: subscribersChecker,
  generate({ random, worker, nextId }) {
    return worker % 2 === 1 ? { f: 'publish', value: nextId() } : listening(random);
  },
  isReadOnly: (f) => f === 'hear',
  async execute(client, { f, value }) {
    if (f === 'hear') return hear(client, CHANNEL, value === true, Number);
    await client.publish(CHANNEL, String(value));
    return value;
  },
});
