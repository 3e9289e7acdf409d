/** The oldest Node.js that the programs run on. A file without imports: it must load where nothing else does. */

const OLDEST_NODE_MAJOR = 24;

/** Ends the process with one sentence when its Node.js is too old. Call before anything else of the program is loaded. */
export function requireNode(program: string): void {
  if (Number.parseInt(process.versions.node, 10) >= OLDEST_NODE_MAJOR) return;
  console.error(
    `${program} needs Node.js ${OLDEST_NODE_MAJOR} or newer, and this is ${process.versions.node}. ` +
      `Install a newer one, or run \`npm run ${program}\` in a clone of the repository, which brings its own.`,
  );
  process.exit(1);
}
