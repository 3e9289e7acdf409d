/** `acl`: users of Redis clients, also when nobody can come in any more. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { RedisUserView } from '../../../src/adapter/grpc/index.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';

const COLUMNS: readonly Column<RedisUserView>[] = [
  { name: 'user', value: ({ name }) => name },
  { name: 'rules', value: ({ rules }) => rules },
];
const PASSWORD_BYTES = 32;

/** Adds the commands. */
export function addAclCommands(program: Command, declare: Declare): void {
  const acl = examples(
    program
      .command('acl')
      .summary('users of Redis clients, and what they may do')
      .description(
        'Users are those of the whole cluster. The rules are those of ACL SETUSER. Clients change users with ACL; this is the way in for the first ' +
          'user, or when a password is lost.',
      ),
    ['acl list', 'who there is'],
    ['acl set default --new-password', 'the lost password of the default user'],
  );
  const list = acl
    .command('list')
    .summary('all users')
    .description('All users with their rules; of passwords only digests.');
  declare(examples(list, ['acl list', 'who there is']), async (session: Session) => {
    const { users } = await session.cluster.call('ListUsers', {});
    session.rows(users, COLUMNS, users);
  });
  const set = acl
    .command('set')
    .summary('make a user, or apply rules to one')
    .description('Every node goes by the rules when this answers.')
    .argument('<name>', 'name of the user')
    .argument('[rule...]', 'as ACL SETUSER takes them; behind -- when the first begins with -')
    .option('--new-password', 'draw a password, which is printed once, in the place of all that the user has');
  declare(
    examples(
      set,
      ["acl set app on --new-password '~app:*' +@all -@dangerous", 'a new user'],
      ['acl set app off', 'who is let in no more'],
      ["acl set app -- -flushall '~other:*'", 'fewer commands, more keys'],
    ),
    async (session: Session, name: string, rules: readonly string[], flags: { readonly newPassword?: true }) => {
      const password = flags.newPassword === undefined ? undefined : randomBytes(PASSWORD_BYTES).toString('hex');
      const all = password === undefined ? rules : ['resetpass', `>${password}`, ...rules];
      const user = await session.cluster.call('SetUser', { name, rules: all });
      const said = `user ${user.name} ${user.rules}`;
      if (password === undefined) session.outcome(user, said);
      else session.outcome({ ...user, password }, `${said}\npassword ${password}`);
    },
  );
  const remove = acl
    .command('delete')
    .summary('take users away')
    .description('Their connections end. Names that are unknown do no harm.')
    .argument('<name...>', 'names of users');
  declare(examples(remove, ['acl delete app', 'one of them']), async (session: Session, names: readonly string[]) => {
    await session.confirm(`The connections of ${names.join(', ')} will end.`);
    const outcome = await session.cluster.call('DeleteUsers', { names });
    session.outcome(outcome, `${outcome.deleted} of ${names.length} deleted`);
  });
}
