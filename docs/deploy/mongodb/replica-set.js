// Makes mongo1, mongo2 and mongo3 a replica set, and in it the account that Latchkey uses. Run by mongosh without a connection; the second
// time it finds everything done.
const root = "root:" + encodeURIComponent(process.env.MONGODB_ROOT_PASSWORD);
const patience = 60; // tries, a second apart

// At its very first start mongo1 calls itself healthy before it can be reached from here.
let first;
for (let tries = 1; !first; tries++) {
  try {
    first = connect(`mongodb://${root}@mongo1:27017/admin?directConnection=true&serverSelectionTimeoutMS=5000`);
  } catch (e) {
    if (tries === patience) throw e;
    sleep(1000);
  }
}

let known = true;
try {
  first.adminCommand({ replSetGetStatus: 1 });
} catch (e) {
  if (e.codeName !== "NotYetInitialized") throw e;
  known = false;
}
if (!known) {
  first.adminCommand({
    replSetInitiate: {
      _id: "rs0",
      members: [
        { _id: 0, host: "mongo1:27017" },
        { _id: 1, host: "mongo2:27017" },
        { _id: 2, host: "mongo3:27017" },
      ],
    },
  });
}

// Until the members have chosen a primary there is nowhere to write to.
for (let tries = 1, done = false; !done; tries++) {
  try {
    const set = connect(`mongodb://${root}@mongo1:27017,mongo2:27017,mongo3:27017/latchkey?replicaSet=rs0&authSource=admin&serverSelectionTimeoutMS=5000`);
    const command = set.getUser("latchkey") === null ? "createUser" : "updateUser";
    set.runCommand({
      [command]: "latchkey",
      pwd: process.env.MONGODB_PASSWORD,
      roles: [{ role: "readWrite", db: "latchkey" }],
      writeConcern: { w: "majority", wtimeout: 30000 },
    });
    done = true;
  } catch (e) {
    if (tries === patience) throw e;
    sleep(1000);
  }
}
print("the replica set and the account of Latchkey are there");
