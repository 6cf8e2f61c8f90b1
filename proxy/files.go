package proxy

// Files lists the files that the configuration names and that are read again when they change: those of users.
func (srv *Server) Files() []string { return srv.usersFiles() }

// RereadFiles takes over what has changed in those files. What can't be used is told, and what was there before stays.
func (srv *Server) RereadFiles() { srv.rereadUsers() }
