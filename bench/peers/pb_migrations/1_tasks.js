// The tasks of PocketBase's own users, guarded by its own rules. The index serves the list and its order.
migrate((app) => {
  const own = "owner = @request.auth.id";
  app.save(new Collection({
    type: "base",
    name: "tasks",
    listRule: own, viewRule: own, createRule: own, updateRule: own,
    fields: [
      { name: "owner", type: "relation", collectionId: "_pb_users_auth_", maxSelect: 1, required: true, cascadeDelete: true },
      { name: "title", type: "text", required: true, max: 200 },
      { name: "description", type: "text", max: 1000 },
      { name: "completed", type: "bool" },
      { name: "created", type: "autodate", onCreate: true },
      { name: "updated", type: "autodate", onCreate: true, onUpdate: true },
    ],
    indexes: ["CREATE INDEX idx_tasks_owner_created ON tasks (owner, created)"],
  }));
});
