/** Mutants of messages between clients: each takes one rule away that has them come, or keeps them from coming twice. */
import type { SimMutant } from './mutants.ts';

const ROOM = 'src/adapter/redis/messages';
const TEST = 'test/adapter/redis/messages/messages.test.ts';

/** Faults that are no excuse for a message that does not come. */
const LISTENING = ['--no-routes', '--fault', 'transfer', '--fault', 'slowDisk'];

export const MESSAGE_MUTANTS: readonly SimMutant[] = [
  {
    name: 'subscribed-early',
    breaks: 'SUBSCRIBE is answered before other nodes know what the client listens to',
    test: TEST,
    mutations: [
      {
        file: `${ROOM}/messages.ts`,
        find: 'if (this.isTold(version)) return undefined;',
        replace: 'if (version >= 0) return undefined;',
      },
    ],
  },
  {
    name: 'published-unready',
    breaks: 'a node that has just started publishes before it knows who listens',
    test: TEST,
    mutations: [
      {
        file: `${ROOM}/messages.ts`,
        find: 'if (this.isReady()) return undefined;',
        replace: 'if (this.rounds >= 0) return undefined;',
      },
    ],
  },
  {
    name: 'told-out-of-turn',
    breaks: 'a frame says that everything is told although names are left that became dirty before',
    test: TEST,
    mutations: [
      {
        file: `${ROOM}/lane.ts`,
        find: 'const version = isWhole ? this.options.version() : this.oldestDirty() - 1;',
        replace: 'const version = this.options.version();',
      },
    ],
  },
  {
    name: 'messages-sent-again',
    breaks: 'messages of a stream that broke are sent again on the next one',
    test: TEST,
    mutations: [
      {
        file: `${ROOM}/lane.ts`,
        find: 'this.options.counters.sentMessages += messages.length;',
        replace: 'if (messages.length > 0) (this as never as { again: Buffer[] }).again = messages;',
      },
      {
        file: `${ROOM}/lane.ts`,
        find: 'this.unanswered = [];\n    this.unansweredBytes = 0;\n    this.toldVersion',
        replace:
          'for (const item of (this as never as { again?: Buffer[] }).again?.splice(0) ?? []) this.send(item);\n' +
          '    this.unanswered = [];\n    this.unansweredBytes = 0;\n    this.toldVersion',
      },
    ],
  },
  {
    name: 'events-of-attempts',
    breaks: 'an evaluation says what it has to say to others at once, also when it comes to nothing or runs again',
    only: [...LISTENING, '--workload', 'key-events'],
    mutations: [
      {
        file: 'src/adapter/redis/request/group-request.ts',
        find: '?? this.noting(view));\n      this.checkEffects();\n',
        replace: '?? this.noting(view));\n      this.checkEffects();\n      this.emitEffects();\n',
      },
    ],
  },
  {
    name: 'messages-to-one-node',
    breaks: 'a message goes to one of the other nodes that have somebody who listens',
    only: [...LISTENING, '--workload', 'subscribers'],
    mutations: [
      {
        file: `${ROOM}/messages.ts`,
        find: 'for (const node of nodes) this.peers.get(node)',
        replace: 'for (const node of [...nodes].slice(0, 1)) this.peers.get(node)',
      },
    ],
  },
  {
    name: 'old-life-remembered',
    breaks: 'what clients of a process listened to is remembered when its node has started again',
    test: TEST,
    mutations: [
      {
        file: `${ROOM}/peer.ts`,
        find: 'if (this.life !== undefined && this.life !== header.life) this.forget();',
        replace: '',
      },
    ],
  },
];
