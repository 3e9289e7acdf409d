/** MULTI, EXEC, DISCARD, WATCH, UNWATCH. */
import { defineCommands } from '../../command/index.ts';
import { OK, RedisError } from '../../protocol/index.ts';

export const transactionCommands = defineCommands([
  {
    name: 'discard',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    group: 'transactions',
    since: '2.0.0',
    summary: 'Forgets what was queued since MULTI, and the watched keys.',
    complexity: 'O(N) in the number of queued commands',
    handler: {
      kind: 'connection',
      run: (session) => {
        if (!session.multi.isOpen) throw new RedisError('ERR DISCARD without MULTI');
        session.multi.discard();
        return OK;
      },
    },
  },
  {
    name: 'exec',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'skip_slowlog'],
    group: 'transactions',
    since: '1.2.0',
    summary: 'Runs what was queued since MULTI as one operation.',
    complexity: 'That of the queued commands',
    handler: { kind: 'connection', run: (session) => session.multi.exec() },
  },
  {
    name: 'multi',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    group: 'transactions',
    since: '1.2.0',
    summary: 'Queues the commands that follow until EXEC.',
    complexity: 'O(1)',
    handler: {
      kind: 'connection',
      run: (session) => {
        session.multi.begin();
        return OK;
      },
    },
  },
  {
    name: 'unwatch',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    group: 'transactions',
    since: '2.2.0',
    summary: 'Watches no key any more.',
    complexity: 'O(1)',
    handler: {
      kind: 'connection',
      run: (session) => {
        session.multi.unwatch();
        return OK;
      },
    },
  },
  {
    name: 'watch',
    arity: -2,
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    keys: { first: 1, last: -1, step: 1 },
    group: 'transactions',
    since: '2.2.0',
    summary: 'Lets the next EXEC fail if one of the keys changes before.',
    complexity: 'O(N) in the number of keys',
    handler: {
      kind: 'connection',
      run: (session, args) => {
        if (session.multi.isOpen) throw new RedisError('ERR WATCH inside MULTI is not allowed');
        return session.multi.watch(args.slice(1)).then(() => OK);
      },
    },
  },
]);
