/** What is run while nodes are killed, by name. */
import { beeQueue } from './bee-queue.ts';
import { bullmq } from './bullmq.ts';
import { rateLimiter, redlock } from './locks.ts';
import { redisPy } from './python.ts';
import { sessions } from './sessions.ts';
import { socketsOverPublish, socketsOverStreams } from './sockets.ts';
import type { Workload } from './workload.ts';

const PATIENCE = { lockMs: 5_000, drainMs: 120_000 };

export const WORKLOADS: Readonly<Record<string, Workload>> = {
  bullmq: bullmq({ prefix: '{bull}', everyMs: 20, ...PATIENCE }),
  'bullmq-spread': bullmq({ prefix: 'bull', everyMs: 100, ...PATIENCE }),
  'bee-queue': beeQueue,
  redlock,
  'rate-limiter': rateLimiter,
  'connect-redis': sessions,
  'socket.io-streams': socketsOverStreams,
  'socket.io-publish': socketsOverPublish,
  'redis-py': redisPy,
};
