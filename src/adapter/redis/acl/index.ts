/**
 * Users and what they may do: rules as Redis writes them, the check of a command against them, and the users of the cluster, which are a row that
 * every node reads. `selector` and `user` are rules, `permission` is the check, `user-hub` and `user-directory` the row and what nodes know of
 * it, `users` what the front end is given.
 */

export { DEFAULT_LOG_ENTRIES } from './access-log.ts';
export { Callers, UserCaller } from './caller.ts';
export { categoriesOf } from './categories.ts';
export { RuleCommands } from './rule-commands.ts';
export { User, type UserEnvironment } from './user.ts';
export { OPERATOR, UserDirectory } from './user-directory.ts';
export { NOT_KNOWN, Users } from './users.ts';
