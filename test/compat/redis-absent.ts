/** Commands of Redis 7.0 that are not there, and why. A command that is neither here nor in the command table is not there yet. */

/** `not yet`: it is going to be there. `never`: what it is about does not exist here. */
export interface Absence {
  readonly names: readonly string[];
  readonly status: 'not yet' | 'never';
  readonly why: string;
}

export const ABSENCES: readonly Absence[] = [
  { names: ['module|load', 'module|loadex', 'module|unload'], status: 'never', why: 'There are no modules.' },
  { names: ['bgrewriteaof'], status: 'never', why: 'Logs are cut by themselves.' },
  { names: ['shutdown'], status: 'never', why: 'A node is stopped by a signal, which hands over what it leads.' },
  { names: ['swapdb'], status: 'never', why: 'Databases are ranges of keys; swapping two would move all their keys.' },
  {
    names: ['psync', 'replconf', 'replicaof', 'slaveof', 'sync'],
    status: 'never',
    why: 'Replicas are kept by consensus; they are added with `raftadmin`.',
  },
  { names: ['restore-asking'], status: 'never', why: 'Nobody is answered ASK.' },
  { names: ['migrate'], status: 'never', why: 'Ranges move with `raftadmin`; single keys with `DUMP` and `RESTORE`.' },
];
