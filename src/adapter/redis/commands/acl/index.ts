/** Users: ACL. */
export { aclCommands } from './acl.ts';
