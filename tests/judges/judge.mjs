// tuf-js as a judge of a bundle's head: judge.mjs HEAD FINGERPRINT STATE
//
// Arguments and answers are those of judge.py. The client trusts whatever `root.json` it finds in its own folder, so
// root 1 is put there once, after its fingerprint was compared. tuf-js is looked for from the current folder.

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { Updater } = createRequire(join(process.cwd(), 'here.js'))('tuf-js');

/** Serves the folder of a head as a repository on a port of this machine. A member that is not there is a 404. */
async function serve(folder) {
  const server = createServer((request, response) => {
    const file = join(folder, new URL(request.url, 'http://head').pathname);
    if (existsSync(file)) response.end(readFileSync(file));
    else response.writeHead(404).end();
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { server, address: `http://127.0.0.1:${server.address().port}` };
}

async function ask(address, state, targetDir) {
  const updater = new Updater({
    metadataDir: state,
    metadataBaseUrl: `${address}/metadata`,
    targetDir,
    targetBaseUrl: address,
  });
  await updater.refresh();
  const release = await updater.getTargetInfo('release.json');
  if (!release) return 'refuse: the approvers signed no release.json';
  await updater.downloadTarget(release);
  return 'accept';
}

async function judge(head, fingerprint, state) {
  const root = join(head, 'metadata/1.root.json');
  if (createHash('sha256').update(readFileSync(root)).digest('hex') !== fingerprint) {
    return 'refuse: root 1 is not the one on paper';
  }
  const targets = join(state, 'targets');
  mkdirSync(targets, { recursive: true });
  if (!existsSync(join(state, 'root.json'))) copyFileSync(root, join(state, 'root.json'));
  const { server, address } = await serve(head);
  try {
    return await ask(address, state, targets);
  } catch (error) {
    return `refuse: ${error.constructor.name}: ${error.message}`;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const [head, fingerprint, state] = process.argv.slice(2);
console.log(await judge(head, fingerprint, state));
