/** Breaks of what keeps a node that has lost its disk out. */
import type { SimMutant } from './mutants.ts';

const ONLY = ['--fault', 'lostDisk', '--no-routes'];

export const FOLDER_MUTANTS: readonly SimMutant[] = [
  {
    name: 'any-folder-admitted',
    breaks: 'a node listens to whatever data folder comes under the id of another one',
    only: ONLY,
    mutations: [
      {
        file: 'src/raftengine/founding/peer-book.ts',
        find: 'if (lives.incarnation === undefined) return',
        replace: 'if (lives.incarnation !== incarnation) return',
      },
    ],
  },
  {
    name: 'founds-unasked',
    breaks: 'a founder with an empty folder does not ask the others',
    only: ONLY,
    mutations: [
      {
        file: 'src/node/standing.ts',
        find: 'return accepted.length >= acceptancesNeeded(founders.length);',
        replace: 'return true;',
      },
    ],
  },
  {
    name: 'lost-log-taken-for-new',
    breaks: 'a log that is not there is taken for a new one',
    only: ONLY,
    mutations: [
      {
        file: 'src/raftengine/log/recovery.ts',
        find: 'if (noted > 0 && !sequences.includes(noted))',
        replace: 'if (false)',
      },
    ],
  },
];
