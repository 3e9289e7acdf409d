/** Mutants of commands that wait for keys: each takes one rule away by which no value is lost on its way to who waits for it, or seen too early. */
import type { SimMutant } from './mutants.ts';

const QUEUE = ['--no-routes', '--workload', 'blocking-queue'];

export const WAITING_MUTANTS: readonly SimMutant[] = [
  {
    name: 'woken-inside-transactions',
    breaks:
      'those who wait are served in the middle of a transaction, as soon as one of its commands has written their key',
    only: QUEUE,
    mutations: [
      {
        file: 'src/adapter/redis/session/transaction-session.ts',
        find: 'this.host.ask(group, requestOf);',
        replace:
          'Promise.all(commands.map((one) => this.host.ask(group as GroupId, (owner, token) => new TransactionRequest(watched, [one], { resp, settings: server.settings, owner, token })))).then((all) => all.flatMap((reply) => splitArrayReply(reply) ?? []));',
      },
    ],
  },
  {
    name: 'time-over-unasked',
    breaks: 'a client that waits is told that its time is over before the leader has taken it out of its line',
    only: QUEUE,
    mutations: [
      {
        file: 'src/adapter/redis/waiting/waiting-place.ts',
        find: "this.environment.scheduler.after(END_MS, () => this.settle({ kind: 'unknown' }));",
        replace: "this.settle({ kind: 'ended' });",
      },
    ],
  },
];
